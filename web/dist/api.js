// Requests to the API, and errors that say what to do.

import { learnClock } from "./time.js";

/** What went wrong, in words for the user, with the HTTP status (0: no answer). */
export class Problem extends Error {
  constructor(status, words) { super(words); this.status = status; }
}

const words = (status, data) => data?.detail || data?.title
  || (status >= 500 ? `服务器出错（${status}），操作可能没有生效，请稍后重试` : `请求没有被接受（${status}）`);

/** One request; fails with a `Problem`. */
export async function api(method, path, body) {
  const headers = { "X-Requested-With": "hotline" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(`/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, "连不上服务器，操作没有生效。请检查网络和服务是否在运行，然后重试");
  }
  learnClock(response);
  const text = await response.text();
  let data = null;
  try { data = text ? JSON.parse(text) : null; } catch { /* a proxy's page: the status says enough */ }
  if (!response.ok) throw new Problem(response.status, words(response.status, data));
  return data;
}
