/** MD5 (RFC 1321): browsers have none. SSE-C wants it of a key, to notice a slip. It protects nothing. */
export function md5(message: Uint8Array): Uint8Array {
  const shifts = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
  const table = Array.from({ length: 64 }, (_, index) => Math.floor(Math.abs(Math.sin(index + 1)) * 2 ** 32) | 0);
  const padded = new Uint8Array((((message.length + 8) >> 6) + 1) * 64);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, message.length << 3, true);
  view.setUint32(padded.length - 4, message.length >>> 29, true);
  const state = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476];
  for (let block = 0; block < padded.length; block += 64) {
    let [a, b, c, d] = state as [number, number, number, number];
    for (let step = 0; step < 64; step += 1) {
      const round = step >> 4;
      const [mixed, at] =
        round === 0 ? [(b & c) | (~b & d), step]
        : round === 1 ? [(d & b) | (~d & c), (5 * step + 1) & 15]
        : round === 2 ? [b ^ c ^ d, (3 * step + 5) & 15]
        : [c ^ (b | ~d), (7 * step) & 15];
      const sum = (a + mixed + table[step]! + view.getInt32(block + at * 4, true)) | 0;
      const shift = shifts[round * 4 + (step & 3)]!;
      [a, d, c, b] = [d, c, b, (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0];
    }
    [a, b, c, d].forEach((value, index) => {
      state[index] = (state[index]! + value) | 0;
    });
  }
  const out = new DataView(new ArrayBuffer(16));
  state.forEach((value, index) => out.setInt32(index * 4, value, true));
  return new Uint8Array(out.buffer);
}
