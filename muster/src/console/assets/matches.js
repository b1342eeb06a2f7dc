// Every match that is known.

import { number, put } from "/format.js";
import { over, running } from "/rows.js";
import { answered, disconnected } from "/status.js";

const $ = (id) => document.getElementById(id);
const showRunning = running($("running"));
const showOver = over($("recent"));

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/api/matches", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const list = await answer.json();
    showRunning(list.running ?? [], list.at_ms, list.api);
    showOver(list.recent, list.at_ms);
    put($("running-count"), number(list.running?.length ?? 0));
    put($("recent-count"), number(list.recent.length));
    answered(list.at_ms, list.away ?? []);
  } catch {
    disconnected();
  }
}

look();
setInterval(look, 1000);
document.addEventListener("visibilitychange", look);
