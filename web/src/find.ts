/** Binary search in ascending columns. */

/** The last index whose value is at most `wanted`; −1 before the first. */
export function lastAtMost(values: Float64Array | readonly number[], wanted: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] as number) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
