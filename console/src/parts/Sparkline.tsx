/** The shape of the last minutes, beside its figure. Its place is kept before there are two points: nothing below moves. */
export function Sparkline({ points }: { points: [number, number | null][] }) {
  const known = points.filter((point): point is [number, number] => point[1] !== null);
  const values = known.map(([, value]) => value);
  const low = Math.min(0, ...values);
  const span = Math.max(...values) - low || 1;
  const path = known
    .map(([, value], index) => `${((index / (known.length - 1)) * 100).toFixed(1)},${(23 - ((value - low) / span) * 22).toFixed(1)}`)
    .join(" ");
  return (
    <svg className="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      {known.length < 2 ? null : <polyline points={path} vectorEffect="non-scaling-stroke" />}
    </svg>
  );
}
