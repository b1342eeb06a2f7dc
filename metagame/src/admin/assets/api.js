// Calls of the admin port with the operator's token. It is kept for this tab alone, and forgotten when the tab closes.

const KEPT = "operator-token";

export const token = () => sessionStorage.getItem(KEPT);
export const keepToken = (text) => sessionStorage.setItem(KEPT, text.trim());
export const forgetToken = () => sessionStorage.removeItem(KEPT);

/** The operator's name, as the token says it; the server decides whether it is true. */
export function operatorName() {
  try {
    const claims = JSON.parse(atob(token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return String(claims.sub || "").replace(/^operator:/, "") || "operator";
  } catch {
    return "operator";
  }
}

/** A refusal, in the server's words. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `the server answers with ${status}`);
    this.status = status;
  }
}

async function send(method, path, body) {
  const headers = { authorization: `Bearer ${token()}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refused(0, { detail: "metagame does not answer: is the port still forwarded?" });
  }
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export async function read(path) {
  return (await send("GET", path)).json();
}

export async function order(path, body) {
  const answer = await send("POST", path, body);
  return answer.status === 204 ? null : answer.json();
}

/** Fetches a file and hands it to the browser's downloads. */
export async function download(path, body, name) {
  const blob = await (await send("POST", path, body)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
