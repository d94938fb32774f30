// How the values that colour the cells are spread; dragging over it selects cells by value.
const BINS = 64;

class Histogram {
  constructor(app) {
    this.app = app;
    this.canvas = make("canvas", { class: "ig-canvas ig-histogram", tabIndex: 0, role: "application",
      "aria-label": "Histogram of the values that colour the cells; drag, or step with the arrows and press Enter, to select by value" });
    this.context = this.canvas.getContext("2d");
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.drag = [this.value(event), this.value(event)];
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.drag) { this.drag[1] = this.value(event); this.draw(); }
    });
    this.canvas.addEventListener("pointerup", (event) => this.release(event));
    this.canvas.addEventListener("keydown", (event) => this.keydown(event));
  }
  get count() { return this.app.colouring.kind === "category" ? this.app.colouring.colours.length : BINS; }
  get range() {
    const { low, high, kind } = this.app.colouring;
    return kind === "category" ? [-.5, this.count - .5] : [low, high];
  }
  bin(value) {
    const [low, high] = this.range;
    return Math.min(Math.max(Math.floor((value - low) / (high - low) * this.count), 0), this.count - 1);
  }
  recount() {
    const { values } = this.app, n = this.count;
    this.all = new Float64Array(n);
    for (let i = 0; i < values.length; i++) if (values[i] > -1e37) this.all[this.bin(values[i])]++;
    this.chosenChanged();
  }
  chosenChanged() {
    const { values, selection } = this.app;
    this.some = new Float64Array(this.count);
    if (selection.any) {
      for (let i = 0; i < values.length; i++) {
        if (selection.chosen[i] && values[i] > -1e37) this.some[this.bin(values[i])]++;
      }
    }
    this.draw();
  }
  resize(width, height) {
    const ratio = this.ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.draw();
  }
  value(event) {
    const box = this.canvas.getBoundingClientRect(), [low, high] = this.range;
    return low + (event.clientX - box.left) / box.width * (high - low);
  }
  release(event) {
    if (!this.drag) return;
    let [from, to] = this.drag.sort((a, b) => a - b);
    this.drag = null;
    if (this.app.colouring.kind === "category") { from = Math.round(from) - .25; to = Math.round(to) + .25; }
    if (to > from) this.choose(from, to, howTo(event));
    this.draw();
  }
  choose(from, to, how) {
    const { values } = this.app, mark = new Uint8Array(values.length);
    const [low, high] = this.range;  // what lies beyond an end of the axis is counted in its last bar
    const start = from <= low ? -1e37 : from, stop = to >= high ? Infinity : to;
    for (let i = 0; i < values.length; i++) mark[i] = values[i] > -1e37 && values[i] >= start && values[i] <= stop ? 1 : 0;
    this.app.interval = { from, to };
    this.app.selection.apply(mark, how);
  }
  keydown(event) {  // left and right step over the bars, Enter selects the one that is marked
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key in steps) {
      this.cursor = Math.min(Math.max((this.cursor ?? -1) + steps[event.key], 0), this.count - 1);
    } else if (event.key === "Enter" && this.cursor !== undefined) {
      const [low, high] = this.range, step = (high - low) / this.count;
      this.choose(low + this.cursor * step, low + (this.cursor + 1) * step - step * 1e-6, howTo(event));
    } else return;
    event.preventDefault();
    this.draw();
  }
  draw() {
    const { context: c, canvas: { width, height } } = this;
    c.clearRect(0, 0, width, height);
    if (!this.all || !this.app.colouring.name) return;
    const most = Math.max(...this.all, 1), step = width / this.count, top = height - 4;
    const root = (n) => Math.sqrt(n / most) * top;  // rare values stay visible
    for (let i = 0; i < this.count; i++) {
      c.fillStyle = this.app.dark ? "#5a646e" : "#c3cad1";
      c.fillRect(i * step, height - root(this.all[i]), step - 1, root(this.all[i]));
      c.fillStyle = this.app.colouring.kind === "category" ? this.app.colouring.colours[i] : "#0072b2";
      c.fillRect(i * step, height - root(this.some[i]), step - 1, root(this.some[i]));
    }
    c.strokeStyle = "#d55e00";
    if (this.cursor !== undefined) c.strokeRect(this.cursor * step, 1, step - 1, height - 2);
    if (this.drag) {
      const [low, high] = this.range, at = (v) => (v - low) / (high - low) * width;
      c.fillStyle = "#0072b233";
      c.fillRect(Math.min(...this.drag.map(at)), 0, Math.abs(at(this.drag[1]) - at(this.drag[0])), height);
    }
  }
}
