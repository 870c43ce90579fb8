// The shaders: one vertex shader that bends the neck, and one fragment shader per material.
// Positions in decimetres around the middle between the eyes; light is linear until the end.

export const VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;   // hair: the tangent
layout(location = 2) in vec2 texture;
layout(location = 3) in vec4 mark;     // light, or colour, or a ribbon's marks
uniform mat4 view;
uniform mat3 head;
uniform vec3 pivot;
uniform float breath;
uniform mat3 turn;     // eyes: their own turn; else identity
uniform vec3 centre;   // eyes: where they are
uniform float size;    // eyes: their radius; else 1
out vec3 at;
out vec3 rest;
out vec3 facing;
out vec2 uv;
out vec4 marks;
void main() {
  vec3 local = turn * position * size + centre;
  float follows = smoothstep(-1.80, -0.95, local.y + 0.3 * local.z);
  vec3 turned = head * (local - pivot) + pivot;
  vec3 bent = mix(local, turned, follows);
  float chest = (1.0 - smoothstep(-2.3, -1.2, local.y));
  bent += breath * vec3(0.0, 0.8 * chest + 0.25, 0.7 * chest * smoothstep(-1.4, 0.0, local.z));
  at = bent;
  rest = position;
  facing = mix(turn * normal, head * (turn * normal), follows);
  uv = texture;
  marks = mark;
  gl_Position = view * vec4(bent, 1.0);
}`;

const COMMON = `#version 300 es
precision highp float;
in vec3 at;
in vec3 rest;
in vec3 facing;
in vec2 uv;
in vec4 marks;
uniform vec3 eye;      // the camera
uniform vec3 colour;
out vec4 shown;
const vec3 KEY = vec3(0.433, 0.480, 0.763);
const vec3 KEY_LIGHT = vec3(2.55, 2.36, 2.14);
const vec3 FILL = vec3(-0.784, 0.118, 0.610);
const vec3 FILL_LIGHT = vec3(0.58, 0.66, 0.80);
const vec3 RIM = vec3(-0.690, 0.395, -0.607);
const vec3 RIM_LIGHT = vec3(1.25, 1.35, 1.60);
const vec3 BACK = vec3(0.830, 0.300, -0.470);
const vec3 BACK_LIGHT = vec3(1.10, 0.92, 0.78);
vec3 around(vec3 n) { return mix(vec3(0.36, 0.30, 0.28), vec3(0.74, 0.78, 0.84), n.y * 0.5 + 0.5); }
float hash(vec2 p) { return fract(sin(dot(p, vec2(41.3, 289.1))) * 43758.547); }
float noise(vec2 p) {
  vec2 i = floor(p), f = fract(p);
  f = f * f * (3.0 - 2.0 * f);
  return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x),
             mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}
float gloss(vec3 n, vec3 v, vec3 l, float rough) {
  vec3 h = normalize(l + v);
  float a = rough * rough, d = max(dot(n, h), 0.0);
  float q = d * d * (a * a - 1.0) + 1.0;
  float lh = max(dot(l, h), 0.0);
  return a * a / (q * q) / (12.0 * max(lh * lh, 0.1) * (rough + 0.5)) * max(dot(n, l), 0.0);
}
vec4 finished(vec3 light) {
  light *= 0.53;
  vec3 mapped = (light * (2.51 * light + 0.03)) / (light * (2.43 * light + 0.59) + 0.14);
  return vec4(pow(clamp(mapped, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
}
`;

export const SKIN = `${COMMON}
uniform sampler2D picture;
uniform float detail;
// Light scatters under skin, red furthest: each colour wraps around the form by its own amount.
vec3 scattered(vec3 n, vec3 l, vec3 wrap) {
  vec3 d = clamp((vec3(dot(n, l)) + wrap) / (1.0 + wrap), 0.0, 1.0);
  return d * mix(vec3(1.0), d, 0.35);
}
void main() {
  vec3 base = texture(picture, uv).rgb;
  vec3 albedo = pow(base, vec3(2.2));
  vec3 n = normalize(facing), v = normalize(eye - at);
  if (detail > 0.5) {  // the picture's fine grain as relief
    vec2 grain = vec2(noise(rest.xy * 95.0 + rest.z * 31.0), noise(rest.yx * 88.0 - rest.z * 37.0));
    n = normalize(n + vec3((grain - 0.5) * 0.055, 0.0));
  }
  float open = marks.x;
  vec3 shade = pow(vec3(open), vec3(0.80, 1.10, 1.22));
  vec3 wrap = vec3(0.42, 0.20, 0.13);
  float lit = smoothstep(0.10, 0.62, open);
  vec3 light = KEY_LIGHT * scattered(n, KEY, wrap) * mix(shade, vec3(1.0), lit * 0.55);
  light += FILL_LIGHT * scattered(n, FILL, wrap) * shade;
  light += (RIM_LIGHT * scattered(n, RIM, wrap * 0.5) + BACK_LIGHT * scattered(n, BACK, wrap * 0.5)) * shade * 0.8;
  light += around(n) * shade;
  float inside = (1.0 - smoothstep(0.12, 0.30, base.g)) * (1.0 - smoothstep(0.2, 0.9, open));
  vec3 result = albedo * light * 0.62;
  float edge = pow(1.0 - clamp(dot(n, v), 0.0, 1.0), 5.0);
  float red = smoothstep(0.34, 0.52, (base.r - base.g) / max(base.r, 0.05));
  float rough = mix(0.50, 0.30, red * step(0.0, 0.5 - inside));
  float shine = gloss(n, v, KEY, rough) * 0.040 + gloss(n, v, KEY, 0.28) * 0.003;
  shine += gloss(n, v, FILL, rough) * 0.008 + gloss(n, v, RIM, 0.5) * 0.018 + gloss(n, v, BACK, 0.5) * 0.012;
  result += (shine * KEY_LIGHT * 0.8 + edge * around(n) * 0.22) * lit;
  shown = finished(result);
}`;

export const MOUTH = `${COMMON}
uniform float opening;
void main() {
  vec3 n = normalize(facing), v = normalize(eye - at);
  if (dot(n, v) < 0.0) n = -n;
  vec3 albedo = pow(marks.rgb, vec3(2.2));
  // Less light the further behind the lips, and the less they are open.
  float deep = smoothstep(-0.42, 0.20, rest.z);
  // The cheeks shade the sides. What light is left behind was red lips and gums before.
  float beside = 1.0 - 0.72 * smoothstep(0.11, 0.25, abs(rest.x));
  float light = mix(0.06, 1.25, deep * deep) * beside * mix(0.10, 1.0, opening);
  vec3 lit = KEY_LIGHT * max(dot(n, KEY) * 0.6 + 0.4, 0.0) * 0.55 + around(n) * 0.8;
  float shine = gloss(n, v, KEY, 0.22) * 0.05 + gloss(n, v, FILL, 0.3) * 0.02;
  vec3 tint = mix(vec3(1.0, 0.62, 0.54), vec3(1.0), deep * beside);
  shown = finished((albedo * lit * 0.60 * tint + shine) * light);
}`;

export const EYE = `${COMMON}
uniform mat3 turn;
uniform float lid;   // how far the lids are closed
void main() {
  vec3 p = normalize(rest);
  vec3 n = normalize(facing), v = normalize(eye - at);
  float r = length(p.xy), angle = atan(p.y, p.x);
  const float IRIS = 0.465, PUPIL = 0.185;
  float fibres = noise(vec2(angle * 14.0, r * 7.0)) * 0.55 + noise(vec2(angle * 38.0, r * 5.0)) * 0.45;
  vec3 iris = pow(colour, vec3(2.2));
  float depth = smoothstep(PUPIL, IRIS, r);
  iris *= 0.55 + 0.85 * fibres;
  iris = mix(iris * vec3(1.25, 1.05, 0.8), iris, smoothstep(0.0, 0.45, depth));
  iris *= 1.0 - 0.75 * smoothstep(0.70, 1.0, depth);
  // Light falls in from above and gathers below.
  iris *= 0.85 + 0.75 * (1.0 - smoothstep(-0.40, 0.15, p.y)) * (1.0 - depth * 0.4);
  iris = mix(vec3(0.006), iris, smoothstep(PUPIL - 0.018, PUPIL + 0.018, r));
  vec3 white = mix(vec3(0.70, 0.67, 0.65), vec3(0.58, 0.36, 0.32), smoothstep(0.55, 0.98, r));
  float veins = smoothstep(0.74, 0.80, noise(vec2(angle * 9.0, r * 4.0) * 2.0)) * smoothstep(0.6, 0.9, r);
  white = mix(white, vec3(0.55, 0.25, 0.22), veins * 0.25);
  vec3 albedo = p.z > 0.0 ? mix(iris, white, smoothstep(IRIS - 0.030, IRIS + 0.022, r)) : white;
  vec3 m = normalize(n + 0.2 * v);
  vec3 lit = KEY_LIGHT * (max(dot(m, KEY), 0.0) * 0.62 + 0.12) + FILL_LIGHT * max(dot(m, FILL), 0.0) * 0.6 + around(m) * 0.7;
  // The upper lid's shade, and the corners'.
  float up = facing.y;
  float shade = (1.0 - 0.78 * smoothstep(0.10, 0.58, up)) * (1.0 - 0.55 * smoothstep(0.45, 0.95, abs(facing.x)));
  vec3 result = albedo * lit * 0.60 * shade;
  vec3 h = normalize(KEY + v);
  float spark = smoothstep(0.9905, 0.9935, dot(n, h));
  vec3 h2 = normalize(FILL + v);
  float soft = smoothstep(0.975, 0.992, dot(n, h2)) * 0.10;
  float wet = pow(1.0 - clamp(dot(n, v), 0.0, 1.0), 4.0) * 0.15;
  shown = finished(result + spark * 2.6 + soft + wet * shade * around(n));
}`;

export const HAIR = `${COMMON}
uniform float solid;   // 1: brows and lashes, no strands within the ribbon
uniform float soft;    // 1: alpha is how much of the pixel the strands cover; 0: all or nothing
// Kajiya and Kay's strand highlights (1989), two of them as in Marschner's (2003).
float strand(vec3 t, vec3 v, vec3 l, float power) {
  vec3 h = normalize(l + v);
  float d = dot(t, h);
  return smoothstep(-1.0, 0.0, d) * pow(sqrt(max(1.0 - d * d, 0.0)), power);
}
void main() {
  float across = marks.x, along = marks.y, bright = marks.z * 255.0 / 128.0, own = marks.w * 61.0;
  vec3 base = pow(colour, vec3(2.2));
  if (solid > 0.5) {
    shown = finished(base * (0.25 + bright * 0.75) * (0.7 + 0.3 * KEY_LIGHT));
    return;
  }
  // Strands thinner than a pixel are their mean.
  vec2 thin = smoothstep(0.35, 1.0, fwidth(across) * vec2(9.0, 23.0));
  float fine = mix(noise(vec2(across * 9.0 + own, along * 2.5 + own)), 0.5, thin.x);
  float finer = mix(noise(vec2(across * 23.0 + own * 3.1, along * 5.0)), 0.5, thin.y);
  float gap = smoothstep(0.72, 1.0, along) * 0.80 + pow(abs(across * 2.0 - 1.0), 3.0) * 0.45;
  float strands = fine * 0.65 + finer * 0.35 - gap * 0.80 + 0.12;
  float cover = soft > 0.5 ? clamp(strands / max(fwidth(strands), 0.001) + 0.5, 0.0, 1.0) : step(0.0, strands);
  if (cover <= 0.0) discard;
  vec3 t = normalize(facing), v = normalize(eye - at);
  vec3 volume = normalize(at - vec3(0.0, 0.05, -0.72));
  vec3 n = normalize(volume - t * dot(volume, t) * 0.6);
  float streak = 0.62 + 0.55 * fine * (0.6 + 0.6 * finer);
  float root = mix(0.55, 1.0, smoothstep(0.0, 0.22, along));
  float under = smoothstep(-1.25, 0.1, at.y - 0.3 * at.z) * 0.35 + 0.65;
  float shade = root * under;
  vec3 albedo = base * streak * bright;
  vec3 lit = KEY_LIGHT * (max(dot(n, KEY), 0.0) * 0.75 + 0.14) + FILL_LIGHT * max(dot(n, FILL) * 0.8 + 0.1, 0.0);
  lit += RIM_LIGHT * max(dot(n, RIM), 0.0) * 0.8 + BACK_LIGHT * max(dot(n, BACK), 0.0) * 0.8 + around(n) * 0.7;
  vec3 up = n * (0.10 + 0.22 * (finer - 0.5));
  vec3 t1 = normalize(t + up), t2 = normalize(t - up * 1.4);
  float facingKey = smoothstep(-0.2, 0.7, dot(n, KEY));
  vec3 shine = KEY_LIGHT * strand(t1, v, KEY, 85.0) * 0.055 * facingKey;
  shine += KEY_LIGHT * strand(t2, v, KEY, 26.0) * (base * 0.9 + 0.006) * 0.75 * facingKey;
  shine += RIM_LIGHT * strand(t2, v, RIM, 22.0) * (base * 0.8 + 0.01) * smoothstep(-0.2, 0.6, dot(n, RIM));
  shine += BACK_LIGHT * strand(t2, v, BACK, 22.0) * (base * 0.8 + 0.01) * smoothstep(-0.2, 0.6, dot(n, BACK));
  shown = vec4(finished((albedo * lit * 0.62 + shine * (0.5 + 0.7 * fine)) * shade).rgb, cover);
}`;

export const SHIRT = `${COMMON}
void main() {
  vec3 n = normalize(facing), v = normalize(eye - at);
  float weave = noise(rest.xy * vec2(120.0, 60.0)) * 0.5 + noise(rest.xy * vec2(40.0, 150.0)) * 0.5;
  vec3 albedo = pow(colour, vec3(2.2)) * (0.90 + 0.18 * weave);
  float open = marks.x;
  vec3 lit = KEY_LIGHT * max(dot(n, KEY) * 0.85 + 0.15, 0.0) * mix(open, 1.0, 0.3);
  lit += FILL_LIGHT * max(dot(n, FILL), 0.0) * open + around(n) * open;
  lit += (RIM_LIGHT * max(dot(n, RIM), 0.0) + BACK_LIGHT * max(dot(n, BACK), 0.0)) * open * 0.7;
  float fuzz = pow(1.0 - clamp(dot(n, v), 0.0, 1.0), 3.0) * 0.25;
  shown = finished(albedo * (lit * 0.62 + fuzz * around(n)));
}`;
