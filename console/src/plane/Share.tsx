/** A share in words and as a bar: either would do alone. From 0.9 on the words are heavy, too. */
export function Share({ share, label }: { share: number; label: string }) {
  const full = share > 0.9;
  return (
    <div className={`budget${full ? " near" : ""}`}>
      <p className="num">{full ? <b>{label}</b> : label}</p>
      <i aria-hidden="true">
        <b style={{ width: `${Math.min(1, share) * 100}%` }} />
      </i>
    </div>
  );
}
