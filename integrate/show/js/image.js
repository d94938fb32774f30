// The image with everything that lies on it: labels, outlines, cells, drawn regions, scale bar.
const GRAB = 9;  // pixels around a corner that take hold of it

class ImagePane extends Pane {
  constructor(app) {
    super(app, "image", "Image; arrows move, plus and minus zoom, 0 shows all, V selects the cells in view");
    if (app.places.length) this.cloud = new Cloud(app, app.places);
  }
  cells() { return this.app.places; }
  bounds() { return this.app.spec.bounds; }
  ports() {
    if (this.app.mode !== "side") return [{ x: 0, width: this.width, images: this.app.imagesShown() }];
    const half = Math.floor(this.width / 2);
    return [0, 1].map((k) => ({ x: k * half, width: half, images: [{ image: k, checker: [0, 0] }] }));
  }
  moved() {
    this.draw();
    this.app.reportView();
  }
  hover(point) { this.app.tell(point); }
  paintBase(base) {
    const { app, height } = this, ports = this.ports().map((port) => ({ ...port, layers: this.layers(port) }));
    this.wanted = ports.flatMap(({ layers }) => [...layers.flatMap((one) => one.whole), ...layers.flatMap((one) => one.tiles.map(({ key }) => key))]);
    app.tiles.want(this.wanted);  // before anything is drawn: the first time that takes as long as the answer
    for (const port of ports) {
      const view = this.view(port);
      app.painter.begin(port.width, height, [0, 0, 0]);
      for (const layer of port.layers) this.paintLayer(layer, view);
      if (app.outlines && app.shown.outlines) app.painter.drawLines(view, app.outlines, [1, 1, 1, .9]);
      const cloud = app.shown.cells && this.cloud, dot = cloud && app.dotSize(cloud.count, this.bounds(), this.scale);
      const many = cloud && !cloud.drawFew(view, dot, this.scale);
      app.painter.copyTo(base, port.width, height, port.x);
      if (many) cloud.drawMany(base, port, height, view, dot);
    }
    if (!app.tiles.missing && !app.waitsForLimits()) app.ready_ms ??= performance.now() - app.started;
  }
  paintOver(port) {
    this.paintRegions(port);
    this.paintScaleBar(port);
  }
  layers(port) {
    const { app } = this, { images, labels } = app.spec, view = this.view(port);
    const made = port.images.map(({ image, checker }) => {
      const visible = app.channels.filter((one) => one.image === image && one.on && one.low !== null);
      return layerInView(images[image], `${image}`, visible.map((one) => ({ ...one, checker })), view, port.width);
    });
    if (labels && app.shown.labels) made.push({ ...layerInView(labels, "labels", [{ index: 0 }], view, port.width), ink: [1, 1, 1, .85] });
    return made;
  }
  paintLayer({ source, name, tiles, ink }, view) {
    this.app.painter.useTiles(view, place3(source.place), ink);
    for (const one of tiles) this.paintTile(source, name, one);
  }
  // Until a tile is here, the part of a coarser one that covers it stands in.
  paintTile(source, name, { key, level, rect, look }) {
    const { tiles, painter } = this.app, tile = tiles.get(key);
    if (tile) {
      painter.drawTile(tile, rect, [0, 0, 1, 1], look);
      return;
    }
    for (let up = level + 1; up < source.levels.length; up++) {
      const { scale_x: sx, scale_y: sy } = source.levels[up], n = source.tile;
      const row = Math.floor((rect[1] + rect[3] / 2) / sy / n), column = Math.floor((rect[0] + rect[2] / 2) / sx / n);
      const above = tiles.get(`${name}/${up}/${look.index}/${row}/${column}`);
      if (!above) continue;
      const [x, y, width, height] = tileRect(source, up, row, column);
      const part = [(rect[0] - x) / width, (rect[1] - y) / height, rect[2] / width, rect[3] / height];
      painter.drawTile(above, rect, part, look);
      return;
    }
  }
  paintRegions(port) {
    const { app, context } = this;
    context.font = `${12 * (window.devicePixelRatio || 1)}px system-ui, sans-serif`;
    for (const region of app.shown.regions ? app.regions.list : []) {
      const colour = app.regions.colourOf(region);
      for (const ring of region.rings) strokeRing(context, ring.map((p) => this.screen(p, port)), true, colour);
      const [x, y] = this.screen(region.rings[0][0], port);
      const text = [region.name, region.annotator].filter(Boolean).join(" · ");
      context.lineWidth = 3;
      context.strokeStyle = "#000";
      context.strokeText(text, x + 4, y - 4);
      context.fillStyle = colour;
      context.fillText(text, x + 4, y - 4);
      if (app.tool !== "edit") continue;
      context.fillStyle = "#fff";
      for (const ring of region.rings) {
        for (const p of ring) {
          const [px, py] = this.screen(p, port);
          context.fillRect(px - 3, py - 3, 6, 6);
        }
      }
    }
    if (this.sketch) strokeRing(context, this.sketch.map((p) => this.screen(p, port)), false);
  }
  paintScaleBar(port) {
    const um = this.app.spec.pixel_um, { context } = this;
    if (!um) return;  // nothing is measured in pixels of unknown size
    const wanted = port.width * .22 * this.scale * um, power = 10 ** Math.floor(Math.log10(wanted));
    const length = [5, 2, 1].find((k) => k * power <= wanted) * power, ratio = window.devicePixelRatio || 1;
    const width = length / um / this.scale, x = port.x + 12 * ratio, y = this.height - 12 * ratio;
    const text = length >= 1000 ? `${length / 1000} mm` : length >= 1 ? `${length} µm` : `${+(length * 1000).toPrecision(3)} nm`;
    this.app.bar = { um: length, width, text };
    context.fillStyle = "#000a";
    context.fillRect(x - 4, y - 18 * ratio, width + 8, 22 * ratio);
    context.fillStyle = "#fff";
    context.fillRect(x, y - 3 * ratio, width, 3 * ratio);
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.fillText(text, x, y - 6 * ratio);
  }
  near(p, pixel) {
    const [x, y] = this.screen(p, this.port);
    return Math.hypot(x - pixel[0], y - pixel[1]) <= GRAB * (window.devicePixelRatio || 1);
  }
  began(event, trail) {
    if (trail.tool === "edit") trail.held = this.app.regions.hold(trail.points[0], trail.pixel, this, event.altKey);
  }
  dragged(trail) {
    if (trail.held) trail.held.ring[trail.held.at] = trail.points[trail.points.length - 1];
  }
  ended(trail, last) {
    if (trail.tool === "edit" && trail.held) this.app.regions.commit();
    if (trail.tool === "draw") this.addToSketch(trail, last);
    if (trail.tool === "refine" && trail.points.length > 1) this.app.refine(boxRing(trail.points[0], last));
  }
  addToSketch(trail, last) {
    if (!this.sketch && trail.points.length > 4) {
      this.app.regions.add(simplified(trail.points, this.scale));
    } else if (this.sketch?.length > 2 && this.near(this.sketch[0], trail.pixel)) {
      this.closeSketch();
    } else if (!this.sketch?.length || !this.near(this.sketch[this.sketch.length - 1], trail.pixel)) {
      (this.sketch ??= []).push(last);
    }
  }
  closeSketch() {
    if (this.sketch?.length > 2) this.app.regions.add(this.sketch);
    this.sketch = null;
    this.draw();
  }
  dblclick() {
    if (this.sketch) this.closeSketch();
  }
  cancel() {
    this.sketch = null;
    super.cancel();
  }
  keydown(event) {
    if (event.key === "Enter" && this.sketch) this.closeSketch();
    else if ((event.ctrlKey || event.metaKey) && event.key === "z") this.app.regions.undo();
    else return super.keydown(event);
    event.preventDefault();
  }
}

// The tiles of a source in view, one for each look (a channel), and where one tile holds the whole image coarsely that
// one too: it is small, so there is something to see before the finer ones are here.
function layerInView(source, name, looks, view, pixels) {
  const { level, found } = tilesInView(source, view, pixels), last = source.levels.length - 1, { width, height } = source.levels[last];
  const whole = level < last && Math.max(width, height) <= source.tile ? looks.map((look) => `${name}/${last}/${look.index}/0/0`) : [];
  const tiles = found.flatMap(([j, i]) => looks.map((look) => (
    { key: `${name}/${level}/${look.index}/${j}/${i}`, level, rect: tileRect(source, level, j, i), look })));
  return { source, name, whole, tiles };
}

function place3([a, b, c, d, e, f]) {
  return [a, d, 0, b, e, 0, c, f, 1];
}

// Douglas and Peucker: the fewest corners that stay within a screen pixel of what was drawn.
function simplified(points, tolerance) {
  if (points.length < 3) return points;
  const [xa, ya] = points[0], [xb, yb] = points[points.length - 1];
  const length = Math.hypot(xb - xa, yb - ya);
  let far = 0, at = 0;
  for (let i = 1; i < points.length - 1; i++) {
    const [x, y] = points[i];
    const d = length ? Math.abs((xb - xa) * (ya - y) - (xa - x) * (yb - ya)) / length : Math.hypot(x - xa, y - ya);
    if (d > far) { far = d; at = i; }
  }
  if (far <= tolerance) return [points[0], points[points.length - 1]];
  return [...simplified(points.slice(0, at + 1), tolerance).slice(0, -1), ...simplified(points.slice(at), tolerance)];
}
