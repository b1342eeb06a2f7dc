// A match from above. Only the schema's names are known: `x` and `y` place a thing, `aim` or `angle` turns it, an
// owner makes it a player, `health` gives it a bar. Walls come from the game's map, or else only the bounds are known.

const FRAME_MS = 100;
const NAME_MIN_PX = 11;

export class Field {
  constructor(canvas) {
    this.canvas = canvas;
    this.about = null;
    this.frames = [];
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    const colours = () => { this.colours = this.palette(); this.draw(); };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colours);
    this.colours = this.palette();
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.running = false;
  }

  palette() {
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    return { floor: named("floor"), wall: named("wall"), ink: named("ink"), panel: named("panel"), faint: named("faint"), soft: named("soft"),
      good: named("good"), bad: named("bad"), line: named("line"), teams: [0, 1, 2, 3].map((n) => named(`team${n}`)), supply: [named("s3"), named("s6"), named("s4")] };
  }

  /** What does not change. */
  begin(about) {
    this.about = about;
    this.players = new Map(about.players.map((player) => [player.seat, player]));
  }

  /** The world of a tick. */
  frame(frame) {
    const things = new Map(frame.entities.map((thing) => [thing.id, thing]));
    this.frames = [...this.frames.slice(-1), { at: performance.now(), tick: frame.tick, things }];
    if (this.still.matches) return this.draw();
    if (!this.running) {
      this.running = true;
      requestAnimationFrame(() => this.animate());
    }
  }

  animate() {
    const newest = this.frames[this.frames.length - 1];
    this.draw();
    // Nothing new for a while: the loop rests until the next frame.
    this.running = Boolean(newest) && performance.now() - newest.at < 4 * FRAME_MS;
    if (this.running) requestAnimationFrame(() => this.animate());
  }

  /** The newest value of a thing's field, drawn towards where it was one frame ago. */
  place(thing, part) {
    const before = this.frames.length > 1 ? this.frames[0].things.get(thing.id) : null;
    const { x, y } = thing.fields;
    if (!before || this.still.matches) return [x, y];
    const [dx, dy] = [x - before.fields.x, y - before.fields.y];
    // What jumps has not flown there.
    if (Math.hypot(dx, dy) > this.extent().width / 6) return [x, y];
    return [before.fields.x + dx * part, before.fields.y + dy * part];
  }

  extent() {
    const { map, bounds } = this.about;
    if (map) return { x: 0, y: 0, width: map.width, height: map.height };
    if (bounds) return { x: bounds[0], y: bounds[1], width: bounds[2] - bounds[0], height: bounds[3] - bounds[1] };
    return { x: 0, y: 0, width: 1, height: 1 };
  }

  draw() {
    const { canvas, about } = this;
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (wide === 0 || !about) return;
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    const pen = canvas.getContext("2d");
    const extent = this.extent();
    const scale = Math.min(wide / extent.width, high / extent.height);
    const view = {
      pen, scale, ratio,
      x: (x) => (wide - extent.width * scale) / 2 + (x - extent.x) * scale,
      y: (y) => high - (high - extent.height * scale) / 2 - (y - extent.y) * scale,
    };
    pen.fillStyle = this.colours.floor;
    pen.fillRect(0, 0, wide, high);
    this.walls(view);
    const newest = this.frames[this.frames.length - 1];
    if (!newest) return;
    const part = Math.min(1, (performance.now() - newest.at) / FRAME_MS);
    const placed = [...newest.things.values()].filter((thing) => "x" in thing.fields && "y" in thing.fields);
    const isPlayer = (thing) => thing.owner !== null || ("seat" in thing.fields && "health" in thing.fields);
    placed.filter((thing) => !isPlayer(thing)).forEach((thing) => this.thing(view, thing, part));
    const players = placed.filter(isPlayer);
    players.forEach((thing) => this.player(view, thing, part));
    players.forEach((thing) => this.name(view, thing, part));
  }

  walls({ pen, scale, x, y }) {
    if (!this.about.map) return;
    pen.fillStyle = this.colours.wall;
    for (const [wx, wy, width, height] of this.about.map.walls) {
      // Half a pixel more, or hairlines show between neighbours.
      pen.fillRect(x(wx) - 0.25, y(wy + height) - 0.25, width * scale + 0.5, height * scale + 0.5);
    }
  }

  seat(thing) { return thing.owner ?? thing.fields.seat ?? null; }

  colour(thing) {
    const seat = this.seat(thing);
    const team = this.players.get(seat)?.team ?? 0;
    return this.colours.teams[team % this.colours.teams.length];
  }

  thing(view, thing, part) {
    const { pen, scale, ratio, x, y } = view;
    const [px, py] = this.place(thing, part);
    const angle = thing.fields.angle;
    if (angle !== undefined) {
      const length = Math.max(4 * ratio, scale * 0.7);
      pen.strokeStyle = this.colour(thing);
      pen.lineWidth = Math.max(1.5 * ratio, scale * 0.14);
      pen.lineCap = "round";
      pen.beginPath();
      pen.moveTo(x(px) - Math.cos(angle) * length, y(py) + Math.sin(angle) * length);
      pen.lineTo(x(px), y(py));
      pen.stroke();
      return;
    }
    const ready = thing.fields.ready === undefined || thing.fields.ready === 1;
    const size = Math.max(5 * ratio, scale * 0.55);
    pen.globalAlpha = ready ? 1 : 0.25;
    pen.fillStyle = this.colours.supply[(thing.fields.supply ?? 1) % this.colours.supply.length];
    pen.beginPath();
    pen.moveTo(x(px), y(py) - size / 2);
    pen.lineTo(x(px) + size / 2, y(py));
    pen.lineTo(x(px), y(py) + size / 2);
    pen.lineTo(x(px) - size / 2, y(py));
    pen.fill();
    pen.globalAlpha = 1;
  }

  player(view, thing, part) {
    const { pen, scale, ratio, x, y } = view;
    const [px, py] = this.place(thing, part);
    const { aim, angle, health } = thing.fields;
    const size = Math.max(5 * ratio, scale * 0.5);
    const [cx, cy] = [x(px), y(py)];
    const isDead = health === 0;
    pen.globalAlpha = isDead ? 0.3 : 1;
    const turn = aim ?? angle;
    if (turn !== undefined && !isDead) {
      pen.strokeStyle = this.colour(thing);
      pen.lineWidth = Math.max(2 * ratio, scale * 0.18);
      pen.lineCap = "round";
      pen.beginPath();
      pen.moveTo(cx, cy);
      pen.lineTo(cx + Math.cos(turn) * size * 1.7, cy - Math.sin(turn) * size * 1.7);
      pen.stroke();
    }
    pen.fillStyle = this.colour(thing);
    pen.strokeStyle = this.colours.floor;
    pen.lineWidth = 1.5 * ratio;
    pen.beginPath();
    // The second team has another shape too: colour alone does not tell everybody which team it is.
    if ((this.players.get(this.seat(thing))?.team ?? 0) % 2 === 1) pen.rect(cx - size * 0.9, cy - size * 0.9, size * 1.8, size * 1.8);
    else pen.arc(cx, cy, size, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
    if (health !== undefined && !isDead && health < 100) {
      const [width, height] = [size * 2.6, Math.max(2 * ratio, size * 0.28)];
      pen.fillStyle = this.colours.line;
      pen.fillRect(cx - width / 2, cy + size * 1.35, width, height);
      pen.fillStyle = health > 35 ? this.colours.good : this.colours.bad;
      pen.fillRect(cx - width / 2, cy + size * 1.35, width * Math.min(1, health / 100), height);
    }
    pen.globalAlpha = 1;
  }

  name(view, thing, part) {
    const { pen, scale, ratio, x, y } = view;
    const player = this.players.get(this.seat(thing));
    if (!player || thing.fields.health === 0) return;
    const [px, py] = this.place(thing, part);
    const size = Math.max(NAME_MIN_PX * ratio, scale * 0.55);
    pen.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
    pen.textAlign = "center";
    const half = pen.measureText(player.name).width / 2 + 3 * ratio;
    const cx = Math.min(this.canvas.width - half, Math.max(half, x(px)));
    const cy = Math.max(size, y(py) - Math.max(5 * ratio, scale * 0.5) - 5 * ratio);
    pen.lineJoin = "round";
    pen.lineWidth = 3 * ratio;
    pen.strokeStyle = this.colours.floor;
    pen.strokeText(player.name, cx, cy);
    pen.fillStyle = this.colours.ink;
    pen.fillText(player.name, cx, cy);
  }
}
