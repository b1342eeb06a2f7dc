// Players of a Muster installation between their matches, for k6 (https://k6.io): device login, refresh, profile, leaderboard,
// inventory, a purchase and its repetition, a party. The book's chapter "Load by k6" says how to run it.
//
//   k6 run -e URL=http://127.0.0.1:7100 loadtest/k6/metagame.js
//
// URL       the metagame API                                        http://127.0.0.1:7100
// PLAYERS   players at once                                         50
// SECONDS   how long at full number                                 30
// PAUSE     seconds between two rounds of a player, on average      1
// QUEUE     whose leaderboard is read                               the first queue of the installation
// OFFER     what is bought                                          the first offer that costs money of the game
// ADMIN     the admin port; with it each player gets money first    none: purchases that are too dear count as answered
// SEED      other players with another one; the same are back       1

import http from 'k6/http';
import crypto from 'k6/crypto';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter, Rate } from 'k6/metrics';

const URL = (__ENV.URL || 'http://127.0.0.1:7100').replace(/\/$/, '');
const PLAYERS = Number(__ENV.PLAYERS || 50);
const SECONDS = Number(__ENV.SECONDS || 30);
const PAUSE = Number(__ENV.PAUSE || 1);
const SEED = __ENV.SEED || '1';

// Access tokens live 15 minutes; a client refreshes before that. Here every player does it all the time.
const REFRESH_EVERY = 5;
// Tries of a request that is told to come back.
const TRIES = 5;

const putOff = new Counter('muster_put_off');
const wrong = new Rate('muster_wrong_answers');

export const options = {
  scenarios: {
    players: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: '5s', target: PLAYERS },
        { duration: `${SECONDS}s`, target: PLAYERS },
      ],
      gracefulRampDown: '10s',
    },
  },
  // What the API promises on two cores with the load beside it; ADR and benchmarks have the measured ceilings.
  thresholds: {
    muster_wrong_answers: ['rate==0'],
    checks: ['rate==1'],
    'http_req_duration{name:login}': ['p(95)<50', 'p(99)<200'],
    'http_req_duration{name:refresh}': ['p(95)<50', 'p(99)<200'],
    'http_req_duration{name:profile}': ['p(95)<20', 'p(99)<100'],
    'http_req_duration{name:leaderboard}': ['p(95)<20', 'p(99)<100'],
    'http_req_duration{name:inventory}': ['p(95)<20', 'p(99)<100'],
    'http_req_duration{name:purchase}': ['p(95)<50', 'p(99)<200'],
    'http_req_duration{name:party}': ['p(95)<50', 'p(99)<200'],
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max', 'count'],
};

// A random one (RFC 9562, version 4).
function uuid() {
  const bytes = new Uint8Array(crypto.randomBytes(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// A request of an operation. Answers that say when to come back are obeyed and counted; any other status than `good` is wrong.
function call(name, method, path, good, { token, body, headers } = {}) {
  const params = {
    headers: Object.assign({}, headers),
    tags: { name },
    responseCallback: http.expectedStatuses(...good, 429, 503),
  };
  if (token) params.headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) params.headers['Content-Type'] = 'application/json';
  const text = body === undefined ? null : JSON.stringify(body);
  for (let tried = 1; ; tried += 1) {
    const answer = http.request(method, URL + path, text, params);
    if ((answer.status === 429 || answer.status === 503) && tried < TRIES) {
      putOff.add(1, { name });
      sleep(Number(answer.headers['Retry-After'] || 1));
      continue;
    }
    const isGood = good.includes(answer.status);
    wrong.add(!isGood, { name });
    if (!isGood) console.error(`${name}: ${answer.status} ${answer.body}`);
    return answer;
  }
}

function deviceOf(player) {
  return crypto.sha256(`muster k6 ${SEED} ${player}`, 'hex').slice(0, 32);
}

function login(player) {
  const body = { device_id: deviceOf(player), name: `k6 ${player}` };
  const answer = call('login', 'POST', '/v1/auth/device', [200], { body });
  check(answer, { 'a login gives both tokens': (r) => r.status === 200 && r.json('access_token') && r.json('refresh_token') });
  return answer.status === 200 ? answer.json() : null;
}

export function setup() {
  const session = login('setup');
  if (!session) exec.test.abort(`nobody can log in at ${URL}`);
  const token = session.access_token;
  let { QUEUE: queue, OFFER: offer } = __ENV;
  if (!queue) {
    const queues = http.get(`${URL}/v1/queues`, { headers: { Authorization: `Bearer ${token}` } });
    queue = queues.status === 200 ? queues.json('queues.0.name') : 'duel';
  }
  const offers = call('setup', 'GET', '/v1/store/offers', [200], { token }).json('offers');
  const costs = offers.find((one) => one.prices.some((price) => price.currency));
  offer = offer || (costs ? costs.offer : undefined);
  const chosen = offers.find((one) => one.offer === offer);
  const price = chosen && chosen.prices.find((one) => one.currency);
  return { queue, offer, currency: price ? price.currency : undefined };
}

// Money for a player, by an operator; once, however often it is asked for.
function giveMoney(player, { currency }) {
  if (!__ENV.ADMIN || !currency) return;
  const body = { player_id: player, operator: 'k6', reason: 'load', currencies: [{ currency, amount: 1000000 }] };
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': `k6-${SEED}-${player}` };
  const answer = http.post(`${__ENV.ADMIN}/grants`, JSON.stringify(body), { headers, tags: { name: 'grant' } });
  check(answer, { 'an operator gives money': (r) => r.status === 200 });
}

// Each virtual user is one player for the whole run.
let session = null;

function refresh() {
  const body = { refresh_token: session.refresh_token };
  const answer = call('refresh', 'POST', '/v1/auth/refresh', [200], { body });
  if (!check(answer, { 'a refresh goes on with the same player': (r) => r.json('player_id') === session.player_id })) return;
  session = answer.json();
}

function look({ queue }) {
  const token = session.access_token;
  const profile = call('profile', 'GET', '/v1/players/me', [200], { token });
  check(profile, { 'the profile is one\'s own': (r) => r.json('player_id') === session.player_id });
  const tag = profile.headers.Etag;
  const known = call('profile', 'GET', '/v1/players/me', [200, 304], { token, headers: { 'If-None-Match': tag } });
  check(known, { 'what is known is not sent again': (r) => r.status === 304 || r.headers.Etag !== tag });
  const board = call('leaderboard', 'GET', `/v1/leaderboards/${queue}?limit=20`, [200], { token });
  check(board, { 'a leaderboard is in order': (r) => r.json('entries').every((one, n, all) => n === 0 || all[n - 1].rank <= one.rank) });
  const bag = call('inventory', 'GET', '/v1/players/me/inventory?limit=50', [200], { token });
  check(bag, { 'an inventory has a page': (r) => Array.isArray(r.json('items')) });
}

// Bought once, sent twice: both answers are the same.
function buy({ offer }) {
  if (!offer) return;
  const order = { token: session.access_token, body: { offer }, headers: { 'Idempotency-Key': uuid() } };
  // 402: too dear; 409: nobody may have more of it.
  const first = call('purchase', 'POST', '/v1/store/purchases', [201, 402, 409], order);
  const again = call('purchase', 'POST', '/v1/store/purchases', [201, 402, 409], order);
  check(again, {
    'a purchase that is sent twice is one': (r) =>
      r.status === first.status && r.json('purchase_id') === first.json('purchase_id'),
  });
}

function party() {
  const token = session.access_token;
  const made = call('party', 'POST', '/v1/parties', [201, 409], { token, body: { party_id: uuid(), open: true } });
  if (made.status !== 201) return;
  const seen = call('party', 'GET', '/v1/parties/me', [200], { token });
  check(seen, { 'a party is led by its maker': (r) => r.json('leader_id') === session.player_id && r.json('code') });
  call('party', 'PUT', '/v1/parties/me/ready', [200], { token, body: { ready: true } });
  call('party', 'DELETE', '/v1/parties/me', [204], { token });
}

export default function round(game) {
  if (!session) {
    session = login(exec.vu.idInTest);
    if (!session) {
      sleep(1);
      return;
    }
    giveMoney(session.player_id, game);
  }
  look(game);
  buy(game);
  party();
  if (exec.vu.iterationInScenario % REFRESH_EVERY === REFRESH_EVERY - 1) refresh();
  sleep(PAUSE * (0.5 + Math.random()));
}
