/** Patterns for names of functions. */

/** Whether `name` as a whole fits `pattern`, in which `*` stands for any characters and `?` for one. */
export function globMatches(pattern: string, name: string): boolean {
  let p = 0, n = 0, star = -1, resume = 0;
  while (n < name.length) {
    if (pattern[p] === "*") {
      star = p++;
      resume = n;
    } else if (pattern[p] === "?" || pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0) { // the last star takes one more: an earlier one never needs to
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
