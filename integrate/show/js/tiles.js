// Tiles asked of the kernel, kept on the graphics card while they fit, asked for again when no answer comes.
const ROOM = 400 * 2 ** 20;
const IN_FLIGHT = 24;
const PER_MESSAGE = 6;

function floats(view) {
  if (!view || !view.byteLength) return new Float32Array(0);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function asPlane(kind, view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  if (kind === "u4") return new Uint32Array(bytes);
  if (kind === "u1") return new Float32Array(new Uint8Array(bytes));
  if (kind === "u2") return new Float32Array(new Uint16Array(bytes));
  return new Float32Array(bytes);
}

class Tiles {
  constructor(app) {
    this.app = app;
    this.known = new Map();
    this.bytes = 0;
    this.received = 0;
    this.silent = 0;
  }
  get(key) {
    const tile = this.known.get(key);
    if (tile?.texture) tile.used = performance.now();
    return tile?.texture ? tile : undefined;
  }
  // Keys in order of urgency. Few are asked for at once, so that a view left behind does not keep the kernel busy.
  want(keys) {
    const now = performance.now();
    let flying = 0;
    for (const tile of this.known.values()) if (tile.asked) flying++;
    const ask = [];
    for (const key of keys) {
      const tile = this.known.get(key);
      if (tile?.texture) tile.used = now;  // also what lies under finer tiles: given up, it would be asked for again
      if (tile?.texture || tile?.asked || (tile?.failed && now - tile.failed < 30000)) continue;
      if (flying + ask.length >= IN_FLIGHT) break;
      ask.push(key);
      this.known.set(key, { asked: now, tries: 1 });
    }
    this.missing = keys.filter((key) => !this.known.get(key)?.texture && !this.known.get(key)?.failed).length;
    this.send(ask);
    if (this.missing) this.watch();
  }
  send(keys) {
    for (let i = 0; i < keys.length; i += PER_MESSAGE) {
      this.app.model.send({ type: "tiles", keys: keys.slice(i, i + PER_MESSAGE) });
    }
  }
  watch() {
    if (this.timer) return;
    const patience = this.app.spec.patience_ms;
    this.timer = setInterval(() => {
      const now = performance.now(), late = [];
      let waiting = 0;
      for (const [key, tile] of this.known) {
        if (!tile.asked) continue;
        waiting++;
        if (now - tile.asked > patience * Math.min(2 ** (tile.tries - 1), 8)) {
          late.push(key);
          tile.asked = now;
          tile.tries++;
        }
      }
      if (late.length) {
        this.app.say("The kernel is not answering (busy or gone); asking again …", "waiting");
        this.send(late);
      }
      if (!waiting) {
        clearInterval(this.timer);
        this.timer = null;
      }
    }, Math.min(patience / 2, 1000));
  }
  receive(tiles, buffers) {
    const painter = this.app.painter, gl = painter.gl;
    tiles.forEach((said, i) => {
      const before = this.known.get(said.key);
      if (before?.texture) return;  // an answer that came twice
      const data = asPlane(said.kind, buffers[i]);
      this.received += buffers[i].byteLength;
      const texture = said.kind === "u4"
        ? painter.texture(gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT, said.width, said.height, data)
        : painter.texture(gl.R32F, gl.RED, gl.FLOAT, said.width, said.height, data);
      this.known.set(said.key, { texture, width: said.width, height: said.height, used: performance.now() });
      this.bytes += said.width * said.height * 4;
    });
    this.app.unsay("waiting");
    this.forget();
  }
  fail(keys) {
    for (const key of keys) this.known.set(key, { failed: performance.now() });
  }
  forget() {
    if (this.bytes < ROOM) return;
    const held = [...this.known].filter(([, tile]) => tile.texture).sort((a, b) => a[1].used - b[1].used);
    for (const [key, tile] of held) {
      if (this.bytes < ROOM * 0.8) break;
      this.app.painter.gl.deleteTexture(tile.texture);
      this.bytes -= tile.width * tile.height * 4;
      this.known.delete(key);
    }
  }
  stop() {
    clearInterval(this.timer);
  }
}

// The rectangle of a tile in pixels of its source's finest level.
function tileRect(source, level, row, column) {
  const { width, height, scale_x: sx, scale_y: sy } = source.levels[level], n = source.tile;
  return [
    column * n * sx, row * n * sy,
    Math.min(n, width - column * n) * sx, Math.min(n, height - row * n) * sy,
  ];
}

// Which tiles of a source are in view: the level that suits the zoom, the nearest to the middle first.
function tilesInView(source, view, pixels) {
  const [a, b, c, d, e, f] = source.place;  // pixel of the source -> world: x = a i + b j + c, y = d i + e j + f
  const det = a * e - b * d;
  const back = (x, y) => [(e * (x - c) - b * (y - f)) / det, (a * (y - f) - d * (x - c)) / det];
  const corners = [[0, 0], [1, 0], [0, 1], [1, 1]].map(([u, v]) => back(view[0] + u * view[2], view[1] + v * view[3]));
  const xs = corners.map((p) => p[0]), ys = corners.map((p) => p[1]);
  const step = view[2] / pixels / Math.sqrt(Math.abs(det));
  let level = 0;
  source.levels.forEach((one, i) => { if (Math.max(one.scale_x, one.scale_y) <= step * 1.5) level = i; });
  const { width, height, scale_x: sx, scale_y: sy } = source.levels[level], n = source.tile;
  const first = (least, scale) => Math.max(0, Math.floor(least / scale / n));
  const last = (most, scale, size) => Math.min(Math.ceil(size / n) - 1, Math.floor(most / scale / n));
  const found = [];
  for (let j = first(Math.min(...ys), sy); j <= last(Math.max(...ys), sy, height); j++) {
    for (let i = first(Math.min(...xs), sx); i <= last(Math.max(...xs), sx, width); i++) found.push([j, i]);
  }
  const my = (Math.min(...ys) + Math.max(...ys)) / 2 / sy / n - .5;
  const mx = (Math.min(...xs) + Math.max(...xs)) / 2 / sx / n - .5;
  found.sort((p, q) => (p[0] - my) ** 2 + (p[1] - mx) ** 2 - (q[0] - my) ** 2 - (q[1] - mx) ** 2);
  return { level, found };
}
