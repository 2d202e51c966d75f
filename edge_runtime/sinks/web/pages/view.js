// The live view. An <img> could show the stream by itself, but would not tell when it has ended or hangs.

const AGAIN_MS = 1500;
const SILENT_MS = 10000;

/** The bodies of a multipart stream whose parts say their length. */
async function* parts(reader) {
  const text = new TextDecoder();
  let data = new Uint8Array(0);
  let length = null;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(data.length + value.length);
    joined.set(data);
    joined.set(value, data.length);
    data = joined;
    for (;;) {
      if (length === null) {
        const head = text.decode(data.subarray(0, 512));
        const end = head.indexOf("\r\n\r\n");
        const found = /content-length: (\d+)/i.exec(head);
        if (end < 0 || !found) break;
        length = Number(found[1]);
        data = data.slice(end + 4);
      }
      if (data.length < length) break;
      yield data.slice(0, length);
      data = data.slice(length);
      length = null;
    }
  }
}

export class LiveView {
  /** `changed` is told whether there is a picture. */
  constructor(image, changed) {
    this.image = image;
    this.changed = changed;
    this.control = null;
  }

  start() {
    this.stop();
    this.control = new AbortController();
    this.run(this.control);
  }

  stop() {
    this.control?.abort();
    this.control = null;
    this.changed(false);
  }

  async run(control) {
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => control.abort("silent"), SILENT_MS);
    };
    try {
      heard();
      const answer = await fetch("/view.mjpeg", { signal: control.signal, cache: "no-store" });
      if (answer.ok) {
        // While a picture is being shown nothing is read: the server then sends the newest one, not all of them.
        for await (const jpeg of parts(answer.body.getReader())) {
          heard();
          await this.show(jpeg, control);
        }
      }
    } catch {
      // Ended, broken off or silent: what follows is the same.
    }
    clearTimeout(silence);
    if (this.control !== control) return;
    this.changed(false);
    setTimeout(() => { if (this.control === control) this.start(); }, AGAIN_MS);
  }

  async show(jpeg, control) {
    const before = this.image.src;
    this.image.src = URL.createObjectURL(new Blob([jpeg], { type: "image/jpeg" }));
    await this.image.decode().catch(() => {});
    if (before) URL.revokeObjectURL(before);
    if (this.control === control) this.changed(true);
  }
}
