// Every match that is known.

import { number, put, status } from "/format.js";
import { over, running } from "/rows.js";

const $ = (id) => document.getElementById(id);
const showRunning = running($("running"));
const showOver = over($("recent"));

async function look() {
  if (document.hidden) return;
  try {
    const list = await (await fetch("/api/matches")).json();
    showRunning(list.running ?? [], list.at_ms);
    showOver(list.recent, list.at_ms);
    put($("running-count"), number(list.running?.length ?? 0));
    put($("recent-count"), number(list.recent.length));
    status("live", "Live");
  } catch {
    status("away", "Disconnected");
  }
}

look();
setInterval(look, 1000);
document.addEventListener("visibilitychange", look);
