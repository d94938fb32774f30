// Which cells are chosen: one byte per cell here, one bit per cell on the way to Python.
class Selection {
  constructor(app, count) {
    this.app = app;
    this.count = count;
    this.chosen = new Uint8Array(count);
    this.any = false;
    this.total = 0;
  }
  apply(mark, how) {  // how: "new", "add" or "remove"
    const { chosen } = this;
    let total = 0;
    for (let i = 0; i < this.count; i++) {
      if (how === "add") chosen[i] |= mark[i];
      else if (how === "remove") chosen[i] &= 1 - mark[i];
      else chosen[i] = mark[i];
      total += chosen[i];
    }
    this.total = total;
    this.any = total > 0;
    this.send();
    this.app.selectionChanged();
  }
  clear() {
    this.apply(new Uint8Array(this.count), "new");
  }
  send() {
    const bits = new Uint8Array(Math.ceil(this.count / 8));
    for (let i = 0; i < this.count; i++) if (this.chosen[i]) bits[i >> 3] |= 1 << (i & 7);
    this.own = true;
    this.app.model.set("_selection", new DataView(bits.buffer));
    this.app.model.save_changes();
    this.own = false;
  }
  load() {  // Python chose
    const bits = this.app.model.get("_selection");
    if (this.own || !bits || bits.byteLength * 8 < this.count) return;
    let total = 0;
    for (let i = 0; i < this.count; i++) total += this.chosen[i] = bits.getUint8(i >> 3) >> (i & 7) & 1;
    this.total = total;
    this.any = total > 0;
    this.app.selectionChanged();
  }
}

// Marks the points inside a ring: even-odd rule, in double precision, as numpy and shapely decide it.
function inRing(places, ring) {
  const count = places.length / 2, mark = new Uint8Array(count), n = ring.length;
  const xs = ring.map((p) => p[0]), ys = ring.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  for (let i = 0; i < count; i++) {
    const x = places[2 * i], y = places[2 * i + 1];
    if (!(x >= x0 && x <= x1 && y >= y0 && y <= y1)) continue;
    let inside = 0;
    for (let a = 0, b = n - 1; a < n; b = a++) {
      if ((ys[a] > y) !== (ys[b] > y) && x < (xs[b] - xs[a]) * (y - ys[a]) / (ys[b] - ys[a]) + xs[a]) inside ^= 1;
    }
    mark[i] = inside;
  }
  return mark;
}

function boxRing([xa, ya], [xb, yb]) {
  return [[xa, ya], [xb, ya], [xb, yb], [xa, yb]];
}

function howTo(event) {
  return event.altKey ? "remove" : event.ctrlKey || event.metaKey ? "add" : "new";
}
