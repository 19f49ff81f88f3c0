// The site's search is a worker, and browsers start none from the disk: there it runs in a frame that is not seen.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      this.answer = event => {
        if (event.source === inside) this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      };
      window.addEventListener("message", this.answer);
      inside.document.open();
      inside.document.write(`<!doctype html><script>
        postMessage = data => parent.dispatchEvent(new MessageEvent("message", { data, source: window }));
        importScripts = (...scripts) => scripts.reduce((last, src) => last.then(() => new Promise((done, failed) => {
          document.head.append(Object.assign(document.createElement("script"), { src, onload: done, onerror: failed }));
        })), Promise.resolve());
      <\/script><script src="${url}"><\/script>`);
      inside.document.close();
      this.frame = frame;
      this.begun = new Promise(done => (frame.contentDocument.readyState === "complete" ? done() : frame.addEventListener("load", done)));
    }

    postMessage(data) {
      this.begun.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      window.removeEventListener("message", this.answer);
      this.frame.remove();
    }
  };
}
