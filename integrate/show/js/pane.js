// A canvas one can pan, zoom and draw on with mouse, pen or keys: the image, or the embedding of its cells.
class Pane {
  constructor(app, name, label) {
    this.app = app;
    this.name = name;
    this.canvas = make("canvas", { class: `ig-canvas ig-${name}`, tabIndex: 0, role: "application", "aria-label": label });
    this.context = this.canvas.getContext("2d");
    this.base = document.createElement("canvas").getContext("2d");
    this.centre = [0, 0];
    this.scale = 1;
    this.margin = 1.03;
    this.trail = null;
    for (const kind of ["pointerdown", "pointermove", "pointerup", "wheel", "dblclick", "keydown"]) {
      this.canvas.addEventListener(kind, (event) => this[kind](event), { passive: false });
    }
    this.canvas.addEventListener("pointercancel", () => this.cancel());
  }
  get width() { return this.canvas.width; }
  get height() { return this.canvas.height; }
  ports() { return [{ x: 0, width: this.width }]; }
  resize(width, height) {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    if (!this.fitted) this.fit();
    this.draw();
  }
  fit() {
    const [x0, y0, x1, y1] = this.bounds(), { width } = this.ports()[0];
    this.centre = [(x0 + x1) / 2, (y0 + y1) / 2];
    this.scale = Math.max((x1 - x0) / width, (y1 - y0) / this.height, 1e-9) * this.margin;
    this.fitted = this.width > 1;
    this.moved();
  }
  view(port = this.ports()[0]) {
    const width = port.width * this.scale, height = this.height * this.scale;
    return [this.centre[0] - width / 2, this.centre[1] - height / 2, width, height];
  }
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.width / box.width, (event.clientY - box.top) * this.height / box.height];
  }
  portAt([px]) { return this.ports().find((port) => px < port.x + port.width) ?? this.ports()[0]; }
  world(pixel, port = this.portAt(pixel)) {
    const view = this.view(port);
    return [view[0] + (pixel[0] - port.x) * this.scale, view[1] + pixel[1] * this.scale];
  }
  screen(point, port) {
    const view = this.view(port);
    return [port.x + (point[0] - view[0]) / this.scale, (point[1] - view[1]) / this.scale];
  }
  zoom(factor, fixed = this.centre) {
    this.centre = this.centre.map((c, k) => fixed[k] + (c - fixed[k]) * factor);
    this.scale *= factor;
    this.moved();
  }
  moved() {
    this.draw();
  }
  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY)) * .002), this.world(this.at(event)));
  }
  toolOf(event) { return event.shiftKey ? "lasso" : this.app.tool; }
  pointerdown(event) {
    if (event.button) return;
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const pixel = this.at(event), tool = this.toolOf(event);
    this.port = this.portAt(pixel);
    this.trail = { tool, start: pixel, centre: this.centre.slice(), points: [this.world(pixel, this.port)], pixel };
    this.began(event, this.trail);
  }
  pointermove(event) {
    const pixel = this.at(event);
    this.hover(this.world(pixel, this.trail ? this.port : undefined));
    const { trail } = this;
    if (!trail) return;
    if (trail.tool === "pan") {
      this.centre = trail.centre.map((c, k) => c - (pixel[k] - trail.start[k]) * this.scale);
        this.moved();
      return;
    }
    if (Math.hypot(pixel[0] - trail.pixel[0], pixel[1] - trail.pixel[1]) < 2) return;
    trail.pixel = pixel;
    trail.points.push(this.world(pixel, this.port));
    this.dragged(trail);
    this.drawOver();
  }
  pointerup(event) {
    const { trail } = this;
    this.trail = null;
    if (!trail || trail.tool === "pan") return;
    const last = this.world(this.at(event), this.port);
    if (trail.tool === "lasso" && trail.points.length > 2) this.choose(trail.points, howTo(event));
    else if (trail.tool === "box" && trail.points.length > 1) this.choose(boxRing(trail.points[0], last), howTo(event));
    else this.ended(trail, last, event);
    this.draw();
  }
  choose(ring, how) {
    if (!this.cloud?.count) return;
    const started = performance.now();
    this.app.ring = { pane: this.name, ring };
    this.app.selection.apply(inRing(this.cells(), ring), how);
    this.app.chose_ms = performance.now() - started;
  }
  cancel() {
    this.trail = null;
    this.draw();
  }
  began() {}
  dragged() {}
  ended() {}
  hover() {}
  dblclick() {}
  keydown(event) {
    const step = this.scale * Math.min(this.width, this.height) * .15;
    const keys = {
      ArrowLeft: () => { this.centre[0] -= step; }, ArrowRight: () => { this.centre[0] += step; },
      ArrowUp: () => { this.centre[1] -= step; }, ArrowDown: () => { this.centre[1] += step; },
      "+": () => this.zoom(.8), "=": () => this.zoom(.8), "-": () => this.zoom(1.25), 0: () => this.fit(),
      v: () => this.chooseInView(event), Escape: () => { this.cancel(); this.app.selection?.clear(); },
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
    this.moved();
  }
  chooseInView(event) {
    const [x, y, width, height] = this.view();
    this.choose(boxRing([x, y], [x + width, y + height]), howTo(event));
  }
  draw() {
    this.stale = true;
    this.drawOver();
  }
  drawOver() {  // what is drawn by hand changes often; the picture under it is kept
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      if (this.app.painter && this.fitted) this.paint();  // before it has a size it would ask for the finest tiles
    });
  }
  paint() {
    const { base, context, width, height } = this;
    if (base.canvas.width !== width || base.canvas.height !== height) {
      base.canvas.width = width;
      base.canvas.height = height;
      this.stale = true;
    }
    if (this.stale) this.paintBase(base);
    this.stale = false;
    context.drawImage(base.canvas, 0, 0);
    for (const port of this.ports()) {
      context.save();
      context.beginPath();
      context.rect(port.x, 0, port.width, height);
      context.clip();
      this.paintOver(port);
      this.paintTrail(port);
      context.restore();
    }
    this.painted = performance.now();
  }
  paintOver() {}
  paintTrail(port) {
    const { trail, context } = this;
    if (!trail || trail.tool === "pan" || trail.tool === "edit") return;
    const box = trail.tool === "box" || trail.tool === "refine";
    const ring = box ? boxRing(trail.points[0], trail.points[trail.points.length - 1]) : trail.points;
    strokeRing(context, ring.map((p) => this.screen(p, port)), box);
  }
}

function strokeRing(context, points, closed = true, colour = "#fff") {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (closed) context.closePath();
  context.setLineDash([]);
  context.strokeStyle = "#000";
  context.lineWidth = 3.5;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.stroke();
}

class ScatterPane extends Pane {
  constructor(app, places) {
    super(app, "embedding", `Embedding of ${places.length / 2} cells; arrows move, plus and minus zoom, V selects what is in view`);
    this.places = places;
    this.margin = 1.1;
    this.cloud = new Cloud(app, places);
  }
  cells() { return this.places; }
  bounds() {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < this.places.length; i += 2) {
      const x = this.places[i], y = this.places[i + 1];
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    return x0 > x1 ? [0, 0, 1, 1] : [x0, y0, x1, y1];
  }
  toolOf(event) { return this.app.tool === "box" ? "box" : event.shiftKey || this.app.tool === "lasso" ? "lasso" : "pan"; }
  paintBase(base) {
    const { painter } = this.app, { width, height } = this;
    painter.begin(width, height, this.app.dark ? [.09, .1, .11] : [1, 1, 1]);
    const dot = Math.min(this.app.dotSize(this.cloud.count, this.extent ??= this.bounds(), this.scale), 8);
    const many = !this.cloud.drawFew(this.view(), dot, this.scale);
    painter.copyTo(base, width, height);
    if (many) this.cloud.drawMany(base, this.ports()[0], height, this.view(), dot);
  }
}
