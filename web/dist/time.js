// Times as the centre has them: its offset and its clock, whatever this computer believes.

let ahead = 0, offset = 8 * 3600e3;

/** Learns how far the server's clock is ahead of ours; an answer's Date is whole seconds, so less than two are no difference. */
export function learnClock(response) {
  const date = Date.parse(response.headers.get("Date"));
  if (date) ahead = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now();
}
/** Learns the centre's offset from UTC from one of its times. */
export function learnOffset(text) {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)$/.exec(text || "") || [];
  if (sign) offset = (sign === "-" ? -1 : 1) * (hours * 60 + +minutes) * 60e3;
}
export const now = () => Date.now() + ahead;
/** `2026-11-22 08:00:00`, now. */
export const clock = () => new Date(now() + offset).toISOString().slice(0, 19).replace("T", " ");
/** `08:00:00` of a time of the API. */
export const time = (text) => text?.slice(11, 19) ?? "";
/** `11-22 08:00:00` of a time of the API. */
export const day = (text) => text ? `${text.slice(5, 10)} ${text.slice(11, 19)}` : "";
/** The time between two moments, or until now, as m:ss or h:mm:ss. */
export function span(from, until) {
  if (!from) return "";
  const all = Math.max(0, Math.floor(((until ? Date.parse(until) : now()) - Date.parse(from)) / 1000));
  const s = String(all % 60).padStart(2, "0"), m = Math.floor(all / 60) % 60, h = Math.floor(all / 3600);
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}
