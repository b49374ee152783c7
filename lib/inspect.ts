/** How `console.log` shows the classes of this package. */

/** Makes Deno print instances of `constructor` as `show` says. */
export function showAs<T extends object>(constructor: { prototype: T }, show: (value: T) => string): void {
  Object.defineProperty(constructor.prototype, Symbol.for("Deno.customInspect"), {
    value(this: T): string {
      return show(this);
    },
  });
}
