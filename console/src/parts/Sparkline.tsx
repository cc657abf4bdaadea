/** The shape of the last minutes, beside its figure; the chart with axes is one click away. */
export function Sparkline({ points }: { points: [number, number | null][] }) {
  const known = points.filter((point): point is [number, number] => point[1] !== null);
  if (known.length < 2) return null;
  const values = known.map(([, value]) => value);
  const low = Math.min(0, ...values);
  const span = Math.max(...values) - low || 1;
  const path = known
    .map(([, value], index) => `${((index / (known.length - 1)) * 100).toFixed(1)},${(23 - ((value - low) / span) * 22).toFixed(1)}`)
    .join(" ");
  return (
    <svg className="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={path} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
