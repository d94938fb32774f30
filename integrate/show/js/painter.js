// One WebGL2 context per viewer: every pane is painted here and copied, so a notebook of viewers stays below the
// browser's limit of contexts, and buffers of a million cells exist once.
const TILE_VS = `#version 300 es
in vec2 a; uniform vec4 rect; uniform vec4 part; uniform mat3 place; uniform vec4 view; out vec2 uv;
void main() {
  uv = part.xy + a * part.zw;
  vec2 q = ((place * vec3(rect.xy + a * rect.zw, 1.)).xy - view.xy) / view.zw;
  gl_Position = vec4(q.x * 2. - 1., 1. - q.y * 2., 0., 1.);
}`;
const TILE_FS = `#version 300 es
precision highp float;
uniform highp sampler2D t; uniform vec3 colour; uniform vec3 limits; uniform vec2 size; uniform vec2 checker;
in vec2 uv; out vec4 o;
void main() {
  if (checker.x > 0.) {
    vec2 k = floor(gl_FragCoord.xy / checker.x);
    if (mod(k.x + k.y, 2.) != checker.y) discard;
  }
  float v = texelFetch(t, ivec2(clamp(uv * size, vec2(0.), size - 1.)), 0).r;
  if (isnan(v)) { o = vec4(vec3(.16), 1.); return; }
  o = vec4(colour * pow(clamp((v - limits.x) / (limits.y - limits.x), 0., 1.), limits.z), 1.);
}`;
// A label's outline is where the name one screen pixel away is another one: as thin when far away as when near.
const LABEL_FS = `#version 300 es
precision highp float; precision highp usampler2D;
uniform usampler2D t; uniform vec4 ink; uniform vec2 size; in vec2 uv; out vec4 o;
uint at(vec2 p) { return texelFetch(t, ivec2(clamp(p, vec2(0.), size - 1.)), 0).r; }
void main() {
  vec2 p = uv * size, d = max(vec2(length(vec2(dFdx(p.x), dFdy(p.x))), length(vec2(dFdx(p.y), dFdy(p.y)))), 1e-6);
  uint own = at(p);
  if (own == 0u) discard;
  if (own == at(p + vec2(d.x, 0.)) && own == at(p - vec2(d.x, 0.)) && own == at(p + vec2(0., d.y))
      && own == at(p - vec2(0., d.y))) discard;
  o = ink;
}`;
const POINT_VS = `#version 300 es
in vec2 a; in float v; in float s; uniform vec4 view; uniform float diameter; uniform float any; uniform vec2 range;
uniform sampler2D table; uniform vec4 missing; out vec4 c; flat out float rim;
void main() {
  vec2 q = (a - view.xy) / view.zw;
  gl_Position = vec4(q.x * 2. - 1., 1. - q.y * 2., 0., 1.);
  gl_PointSize = diameter * (any > .5 && s > .5 ? 1.5 : 1.);
  rim = gl_PointSize < 5. ? 1. : .5 - 1.2 / gl_PointSize;
  float k = clamp((v - range.x) / (range.y - range.x), 0., 1.);
  c = v < -1e37 ? missing : vec4(texelFetch(table, ivec2(int(k * 255. + .5), 0), 0).rgb, .9);
  if (any > .5 && s < .5) c.a = .2;
}`;
const POINT_FS = `#version 300 es
precision highp float; in vec4 c; flat in float rim; out vec4 o;
void main() {
  float d = length(gl_PointCoord - .5);
  if (d > .5) discard;
  o = d > rim ? vec4(mix(c.rgb, vec3(1.), .65), c.a) : c;  // a light rim: dark colours stay visible on black
}`;
const LINE_VS = `#version 300 es
in vec2 a; uniform vec4 view;
void main() { vec2 q = (a - view.xy) / view.zw; gl_Position = vec4(q.x * 2. - 1., 1. - q.y * 2., 0., 1.); }`;
const LINE_FS = `#version 300 es
precision highp float; uniform vec4 ink; out vec4 o; void main() { o = ink; }`;
const NO_VALUE = -3e38;

function rgb(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [(n >> 16 & 255) / 255, (n >> 8 & 255) / 255, (n & 255) / 255];
}

function compiled(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  const uniforms = {}, attributes = {};
  for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
    const { name } = gl.getActiveUniform(program, i);
    uniforms[name] = gl.getUniformLocation(program, name);
  }
  for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_ATTRIBUTES); i++) {
    const { name } = gl.getActiveAttrib(program, i);
    attributes[name] = gl.getAttribLocation(program, name);
  }
  return { program, uniforms, attributes };
}

class Painter {
  constructor() {
    this.canvas = document.createElement("canvas");
    const gl = this.gl = this.canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("this browser offers no WebGL2");
    this.tiles = compiled(gl, TILE_VS, TILE_FS);
    this.labels = compiled(gl, TILE_VS, LABEL_FS);
    this.points = compiled(gl, POINT_VS, POINT_FS);
    this.lines = compiled(gl, LINE_VS, LINE_FS);
    this.quad = this.buffer(new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]));
    this.table = gl.createTexture();
  }
  buffer(data, target = this.gl.ARRAY_BUFFER) {
    const made = this.gl.createBuffer();
    this.gl.bindBuffer(target, made);
    this.gl.bufferData(target, data, this.gl.STATIC_DRAW);
    return made;
  }
  refill(buffer, data, target = this.gl.ARRAY_BUFFER) {
    this.gl.bindBuffer(target, buffer);
    this.gl.bufferData(target, data, this.gl.DYNAMIC_DRAW);
  }
  texture(internal, format, type, width, height, data) {
    const gl = this.gl, made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, format, type, data);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    return made;
  }
  setColours(list) {  // 256 colours: even steps between those given, or the categories themselves
    const data = new Uint8Array(1024), even = list.scale;
    for (let i = 0; i < 256; i++) {
      const at = even ? i / 255 * (list.colours.length - 1) : Math.min(i, list.colours.length - 1);
      const low = rgb(list.colours[Math.floor(at)]), high = rgb(list.colours[Math.ceil(at)]), part = at % 1;
      for (let k = 0; k < 3; k++) data[4 * i + k] = Math.round(255 * (low[k] + (high[k] - low[k]) * part));
      data[4 * i + 3] = 255;
    }
    this.colours = new Uint32Array(257);  // the same for pixels written one by one, and that of a missing value
    new Uint8Array(this.colours.buffer).set(data);
    for (let i = 0; i < 256; i++) this.colours[i] = this.colours[i] & 0xFFFFFF | 230 << 24;
    new Uint8Array(this.colours.buffer).set([158, 166, 173, 178], 1024);
    this.gl.deleteTexture(this.table);
    this.table = this.texture(this.gl.RGBA8, this.gl.RGBA, this.gl.UNSIGNED_BYTE, 256, 1, data);
  }
  begin(width, height, ground) {
    const gl = this.gl;
    if (this.canvas.width < width) this.canvas.width = width;
    if (this.canvas.height < height) this.canvas.height = height;
    gl.viewport(0, 0, width, height);
    gl.clearColor(...ground, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
  }
  bind(attributes, name, buffer, count, type = this.gl.FLOAT) {
    const gl = this.gl, at = attributes[name];
    if (at === undefined) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, count, type, false, 0, 0);
  }
  useTiles(view, place, ink) {  // ink: outlines of labels; without it, channels that add up
    const gl = this.gl, one = this.active = ink ? this.labels : this.tiles;
    gl.useProgram(one.program);
    if (ink) gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA); else gl.blendFunc(gl.ONE, gl.ONE);
    gl.uniform4fv(one.uniforms.view, view);
    gl.uniformMatrix3fv(one.uniforms.place, false, place);
    if (ink) gl.uniform4fv(one.uniforms.ink, ink);
    this.bind(one.attributes, "a", this.quad, 2);
  }
  drawTile(tile, rect, part, look) {
    const gl = this.gl, u = this.active.uniforms;
    gl.bindTexture(gl.TEXTURE_2D, tile.texture);
    gl.uniform4fv(u.rect, rect);
    gl.uniform4fv(u.part, part);
    gl.uniform2f(u.size, tile.width, tile.height);
    if (look.colour) {  // labels have none
      gl.uniform3fv(u.colour, rgb(look.colour));
      gl.uniform3f(u.limits, look.low, look.high, look.gamma);
      gl.uniform2fv(u.checker, look.checker);
    }
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
  drawPoints(view, cloud, diameter) {
    const gl = this.gl, { uniforms: u, attributes } = this.points;
    gl.useProgram(this.points.program);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindTexture(gl.TEXTURE_2D, this.table);
    gl.uniform4fv(u.view, view);
    gl.uniform1f(u.diameter, diameter);
    gl.uniform1f(u.any, cloud.any ? 1 : 0);
    gl.uniform2fv(u.range, cloud.range);
    gl.uniform4fv(u.missing, [.62, .65, .68, .7]);
    this.bind(attributes, "a", cloud.places, 2);
    this.bind(attributes, "v", cloud.values, 1);
    this.bind(attributes, "s", cloud.chosen, 1, gl.UNSIGNED_BYTE);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, cloud.order);
    gl.drawElements(gl.POINTS, cloud.count, gl.UNSIGNED_INT, 0);
  }
  drawLines(view, lines, ink) {
    const gl = this.gl;
    gl.useProgram(this.lines.program);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform4fv(this.lines.uniforms.view, view);
    gl.uniform4fv(this.lines.uniforms.ink, ink);
    this.bind(this.lines.attributes, "a", lines.places, 2);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, lines.order);
    gl.drawElements(gl.LINE_STRIP, lines.count, gl.UNSIGNED_INT, 0);
  }
  copyTo(context, width, height, x = 0) {
    context.drawImage(this.canvas, 0, this.canvas.height - height, width, height, x, 0, width, height);
  }
  release() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
