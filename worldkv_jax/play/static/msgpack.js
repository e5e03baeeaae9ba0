// MessagePack, as much of it as the messages use: no extension types.

const text = { encoder: new TextEncoder(), decoder: new TextDecoder("utf-8", { fatal: true }) };

/** Encode a value as MessagePack bytes; whole numbers as integers, others as float 64. Raises TypeError. */
export function encode(value) {
  const writer = new Writer();
  writer.value(value);
  return writer.bytes.slice(0, writer.length);
}

/** Decode MessagePack bytes: maps as objects, binary as Uint8Array views of `bytes`. Raises RangeError. */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (reader.at !== bytes.length) throw new RangeError(`${bytes.length - reader.at} bytes after the message's end`);
  return value;
}

class Writer {
  bytes = new Uint8Array(256);
  length = 0;

  value(value) {
    if (value === null || value === undefined) this.byte(0xc0);
    else if (typeof value === "boolean") this.byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.number(value);
    else if (typeof value === "string") this.string(value);
    else if (value instanceof Uint8Array) this.sized(value, [0xc4, 0xc5, 0xc6]);
    else if (Array.isArray(value)) {
      this.count(value.length, 0x90, 0xdc);
      for (const item of value) this.value(item);
    } else if (Object.getPrototypeOf(value) === Object.prototype) {
      const entries = Object.entries(value).filter(([, item]) => item !== undefined);
      this.count(entries.length, 0x80, 0xde);
      for (const [key, item] of entries) {
        this.string(key);
        this.value(item);
      }
    } else throw new TypeError(`no MessagePack form for ${Object.prototype.toString.call(value)}`);
  }

  number(value) {
    if (!Number.isSafeInteger(value)) this.write(0xcb, 8, (view, at) => view.setFloat64(at, value));
    else if (value >= -32 && value < 128) this.byte(value & 0xff);
    else if (value >= 0 && value < 2 ** 8) this.write(0xcc, 1, (view, at) => view.setUint8(at, value));
    else if (value >= 0 && value < 2 ** 16) this.write(0xcd, 2, (view, at) => view.setUint16(at, value));
    else if (value >= 0 && value < 2 ** 32) this.write(0xce, 4, (view, at) => view.setUint32(at, value));
    else if (value >= -(2 ** 31) && value < 0) this.write(0xd2, 4, (view, at) => view.setInt32(at, value));
    else this.write(0xd3, 8, (view, at) => view.setBigInt64(at, BigInt(value)));
  }

  string(value) {
    const utf8 = text.encoder.encode(value);
    if (utf8.length >= 32) return this.sized(utf8, [0xd9, 0xda, 0xdb]);
    this.byte(0xa0 | utf8.length);
    this.append(utf8);
  }

  /** Bytes after their length, in the shortest of three forms. */
  sized(bytes, [short, medium, long]) {
    const size = bytes.length;
    if (size < 2 ** 8) this.write(short, 1, (view, at) => view.setUint8(at, size));
    else if (size < 2 ** 16) this.write(medium, 2, (view, at) => view.setUint16(at, size));
    else this.write(long, 4, (view, at) => view.setUint32(at, size));
    this.append(bytes);
  }

  /** The head of an array or a map. */
  count(size, fixed, medium) {
    if (size < 16) this.byte(fixed | size);
    else if (size < 2 ** 16) this.write(medium, 2, (view, at) => view.setUint16(at, size));
    else this.write(medium + 1, 4, (view, at) => view.setUint32(at, size));
  }

  byte(value) {
    this.room(1);
    this.bytes[this.length++] = value;
  }

  write(head, size, set) {
    this.byte(head);
    this.room(size);
    set(new DataView(this.bytes.buffer), this.length);
    this.length += size;
  }

  append(bytes) {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  room(size) {
    if (this.length + size <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.length + size));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

class Reader {
  at = 0;

  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value() {
    const head = this.unsigned(1);
    if (head < 0x80) return head;
    if (head < 0x90) return this.map(head & 0x0f);
    if (head < 0xa0) return this.array(head & 0x0f);
    if (head < 0xc0) return this.string(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.take(this.unsigned(1 << (head - 0xc4)));
      case 0xca: return this.read(4, (at) => this.view.getFloat32(at));
      case 0xcb: return this.read(8, (at) => this.view.getFloat64(at));
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.unsigned(1 << (head - 0xcc));
      case 0xd0: return this.read(1, (at) => this.view.getInt8(at));
      case 0xd1: return this.read(2, (at) => this.view.getInt16(at));
      case 0xd2: return this.read(4, (at) => this.view.getInt32(at));
      case 0xd3: return this.read(8, (at) => Number(this.view.getBigInt64(at)));
      case 0xd9: case 0xda: case 0xdb: return this.string(this.unsigned(1 << (head - 0xd9)));
      case 0xdc: case 0xdd: return this.array(this.unsigned(2 << (head - 0xdc)));
      case 0xde: case 0xdf: return this.map(this.unsigned(2 << (head - 0xde)));
      default: throw new RangeError(`MessagePack type 0x${head.toString(16)} is not used here`);
    }
  }

  unsigned(size) {
    return this.read(size, (at) => {
      if (size === 1) return this.view.getUint8(at);
      if (size === 2) return this.view.getUint16(at);
      return size === 4 ? this.view.getUint32(at) : Number(this.view.getBigUint64(at));
    });
  }

  string(size) {
    return text.decoder.decode(this.take(size));
  }

  array(size) {
    const items = [];
    for (let index = 0; index < size; index++) items.push(this.value());
    return items;
  }

  map(size) {
    const entries = [];
    for (let index = 0; index < size; index++) entries.push([this.value(), this.value()]);
    return Object.fromEntries(entries);
  }

  take(size) {
    return this.read(size, (at) => this.bytes.subarray(at, at + size));
  }

  read(size, get) {
    if (this.at + size > this.bytes.length) throw new RangeError("the message ends too early");
    const value = get(this.at);
    this.at += size;
    return value;
  }
}
