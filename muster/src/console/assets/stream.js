// Server-sent events that come back: a browser gives up for ever where a server answers with a refusal.

const AGAIN_MS = 3000;

/** Follows `url`. `handlers` are by event name; "open" and "error" too. Returns a function that ends it. */
export function follow(url, handlers) {
  let stream = null;
  let timer = null;
  const open = () => {
    stream = new EventSource(url);
    for (const [name, handle] of Object.entries(handlers)) stream.addEventListener(name, handle);
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED) return;
      clearTimeout(timer);
      timer = setTimeout(open, AGAIN_MS);
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    stream.close();
  };
}
