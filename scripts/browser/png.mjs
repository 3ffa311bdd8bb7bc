// Makes pictures of pages small: few of their colours matter, and a palette is a third of the bytes.
//
// PNG as in the W3C's Portable Network Graphics (Third Edition); only what a browser's screenshots need:
// 8 bits per channel, RGB with or without alpha, not interlaced.

import { crc32 as crc, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");
const COLOURS_MAX = 256;

/** The same picture with at most 256 colours: the most frequent ones, and for others the nearest of them. */
export function shrink(png) {
  const { width, height, pixels } = decode(png);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const byUse = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const palette = byUse.slice(0, COLOURS_MAX).map(([colour]) => colour);
  const number = new Map(palette.map((colour, at) => [colour, at]));
  for (const [colour] of byUse.slice(COLOURS_MAX)) number.set(colour, nearest(palette, colour));
  return encode(width, height, palette, pixels.map((pixel) => number.get(pixel)));
}

function nearest(palette, colour) {
  const part = (of, shift) => (of >> shift) & 255;
  const apart = (other) =>
    [16, 8, 0].reduce((sum, shift) => sum + (part(colour, shift) - part(other, shift)) ** 2, 0);
  return palette.reduce((best, other, at) => (apart(other) < apart(palette[best]) ? at : best), 0);
}

/** Width, height, and each pixel as 0xRRGGBB. */
function decode(png) {
  if (!png.subarray(0, 8).equals(SIGNATURE)) throw new Error("this is no PNG");
  const chunks = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const from = at + 8;
    chunks.push([png.toString("latin1", at + 4, from), png.subarray(from, from + png.readUInt32BE(at))]);
  }
  const header = chunks.find(([name]) => name === "IHDR")[1];
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const size = { "8,2": 3, "8,6": 4 }[`${header[8]},${header[9]}`];
  if (!size || header[12] !== 0) throw new Error("a kind of PNG that screenshots are not");
  const data = chunks.filter(([name]) => name === "IDAT").map(([, body]) => body);
  const rows = unfilter(inflateSync(Buffer.concat(data)), width * size, height, size);
  const pixels = new Uint32Array(width * height);
  for (let at = 0; at < pixels.length; at += 1) {
    const from = at * size;
    pixels[at] = (rows[from] << 16) | (rows[from + 1] << 8) | rows[from + 2];
  }
  return { width, height, pixels };
}

/** Takes back the filters of the rows (section 9 of the specification). */
function unfilter(data, length, height, size) {
  const rows = Buffer.alloc(length * height);
  for (let y = 0; y < height; y += 1) {
    const from = y * (length + 1) + 1;
    const to = y * length;
    const guess = GUESSES[data[from - 1]];
    for (let x = 0; x < length; x += 1) {
      const left = x >= size ? rows[to + x - size] : 0;
      const up = y > 0 ? rows[to + x - length] : 0;
      const corner = x >= size && y > 0 ? rows[to + x - length - size] : 0;
      rows[to + x] = data[from + x] + guess(left, up, corner);
    }
  }
  return rows;
}

/** What a byte is guessed to be by those before it; the rest is in the data. By the number of the filter. */
const GUESSES = [() => 0, (left) => left, (_, up) => up, (left, up) => (left + up) >> 1, paeth];

function paeth(left, up, corner) {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function encode(width, height, palette, indices) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const colours = Buffer.alloc(palette.length * 3);
  palette.forEach((colour, at) => colours.writeUIntBE(colour, at * 3, 3));
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) {
    rows.set(indices.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const data = deflateSync(rows, { level: 9 });
  const parts = [["IHDR", header], ["PLTE", colours], ["IDAT", data], ["IEND", Buffer.alloc(0)]];
  return Buffer.concat([SIGNATURE, ...parts.map(([name, body]) => chunk(name, body))]);
}

function chunk(name, body) {
  const whole = Buffer.alloc(body.length + 12);
  whole.writeUInt32BE(body.length, 0);
  whole.write(name, 4, "latin1");
  body.copy(whole, 8);
  whole.writeUInt32BE(crc(whole.subarray(4, 8 + body.length)), 8 + body.length);
  return whole;
}
