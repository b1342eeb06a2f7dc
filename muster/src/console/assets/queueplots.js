// Two plots for each queue: who waits, and for how long.

import { Plot } from "/plot.js";

/** Plots of more queues than these would be a wall. */
const QUEUES_MAX = 8;

export class QueuePlots {
  /** Shows the last `keptMs` milliseconds in `target`. */
  constructor(target, keptMs) {
    this.target = target;
    this.keptMs = keptMs;
    this.queues = new Map();
  }

  /** What was before, by queue: `[at, waiting, p50, p95]`. */
  past(queues) {
    for (const [name, rows] of Object.entries(queues)) {
      const queue = this.queue(name);
      if (queue) queue.samples = rows.map(([at, waiting, p50, p95]) => ({ at, waiting, p50, p95 }));
    }
  }

  /** One more second of every queue. */
  add(at, rows) {
    for (const row of rows) {
      const queue = this.queue(row.name);
      const newest = queue?.samples[queue.samples.length - 1];
      if (!queue || newest?.at >= at) continue;
      queue.samples.push({ at, waiting: row.waiting_players, p50: row.wait_p50_s, p95: row.wait_p95_s });
      queue.samples = queue.samples.filter((sample) => sample.at >= at - this.keptMs);
    }
  }

  show() {
    for (const { plots, samples } of this.queues.values()) plots.forEach((plot) => plot.show(samples));
  }

  queue(name) {
    const known = this.queues.get(name);
    if (known || this.queues.size >= QUEUES_MAX) return known;
    const plots = [
      new Plot({ title: `${name}: waiting`, unit: "players", floor: 4, series: [{ name: "waiting", of: (s) => s.waiting }] }),
      new Plot({ title: `${name}: wait`, unit: "s, last 5 min", series: [{ name: "p50", of: (s) => s.p50 }, { name: "p95", of: (s) => s.p95 }] }),
    ];
    this.queues.set(name, { plots, samples: [] });
    this.target.append(...plots.map((plot) => plot.figure));
    return this.queues.get(name);
  }
}
