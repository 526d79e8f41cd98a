/**
 * A text as one unmasked WebSocket frame (RFC 6455, section 5.2). `ws` would frame it anew for each client and hand header and
 * payload to the system one by one; without a mask the bytes are the same for everybody.
 */
const finalText = 0x81;

export function frameOf(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + length);
  frame[0] = finalText;
  if (header === 2) frame[1] = length;
  else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
    frame.writeUInt32BE(length % 2 ** 32, 6);
  }
  frame.write(text, header, 'utf8');
  return frame;
}
