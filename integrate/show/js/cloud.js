// Cells as points. The few in view are drawn by the graphics card; many are written pixel by pixel, which takes
// milliseconds for a million where a processor that stands in for the card takes seconds over points on points.
const FEW = 20000;
const MISSING = 256;  // the colour after the 256 of the table

class Cloud {
  constructor(app, places) {
    Object.assign(this, { app, places, count: places.length / 2 });
    this.buffer = app.painter.buffer(places);
    this.order = app.painter.buffer(new Uint32Array(1), app.painter.gl.ELEMENT_ARRAY_BUFFER);
    this.found = new Uint32Array(Math.min(this.count, FEW));
  }
  // How many cells are in view, at most FEW + 1; the first FEW are in `found`.
  look([x, y, width, height], margin) {
    const { places, found, count } = this, x0 = x - margin, x1 = x + width + margin, y0 = y - margin, y1 = y + height + margin;
    let n = 0;
    for (let i = 0; i < count && n <= FEW; i++) {
      if (places[2 * i] >= x0 && places[2 * i] <= x1 && places[2 * i + 1] >= y0 && places[2 * i + 1] <= y1) found[n++] = i;
    }
    return n;
  }
  // Draws on the card, before its picture is copied; false when there are too many in view.
  drawFew(view, dot, scale) {
    const { painter } = this.app, n = this.look(view, dot * scale);
    if (n > FEW) return false;
    painter.refill(this.order, this.found.subarray(0, n), painter.gl.ELEMENT_ARRAY_BUFFER);
    painter.drawPoints(view, { ...this.app.cellLook(), places: this.buffer, order: this.order, count: n }, dot);
    return true;
  }
  // Writes onto the copied picture; chosen cells lie above the others.
  drawMany(onto, port, height, view, dot) {
    const { width } = port, picture = new ImageData(width, height), { any } = this.app.selection;
    const pixels = new Uint32Array(picture.data.buffer);
    if (any) this.write(pixels, width, height, view, dot, 0);
    this.write(pixels, width, height, view, dot, 1);
    const { canvas } = this.layer ??= document.createElement("canvas").getContext("2d");
    canvas.width = width;
    canvas.height = height;
    this.layer.putImageData(picture, 0, 0);
    onto.drawImage(canvas, port.x, 0);
  }
  write(pixels, width, height, view, diameter, strong) {
    const { places, count, app: { values, selection: { chosen, any }, painter: { colours } } } = this;
    const [low, high] = this.app.cellLook().range, span = 255 / (high - low);
    const side = .886 * diameter * (any && strong ? 1.5 : 1), dot = Math.max(1, Math.round(side));  // as large as the disc
    const sx = width / view[2], sy = height / view[3], [left, top] = view;
    for (let i = 0; i < count; i++) {
      if (any && chosen[i] !== strong) continue;
      const x = Math.round((places[2 * i] - left) * sx - dot / 2), y = Math.round((places[2 * i + 1] - top) * sy - dot / 2);
      if (!(x > -dot && y > -dot && x < width && y < height)) continue;
      const value = values[i];
      const k = value < -1e37 ? MISSING : Math.max(0, Math.min(255, (value - low) * span + .5 | 0));
      const x1 = Math.min(x + dot, width), y1 = Math.min(y + dot, height);
      for (let v = Math.max(y, 0); v < y1; v++) {
        for (let at = v * width + Math.max(x, 0), end = v * width + x1; at < end; at++) {
          if (strong) pixels[at] = colours[k];
          else {  // a fifth of each, as far as they cover each other
            const before = pixels[at] >>> 24;
            pixels[at] = colours[k] & 0xFFFFFF | (before + .2 * (255 - before)) << 24;
          }
        }
      }
    }
  }
}
