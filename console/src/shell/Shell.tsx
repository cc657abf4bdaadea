import { lazy, Suspense, useCallback, useState, type ReactNode } from "react";
import { NavLink, useNavigate } from "react-router";

import { useLiveFeed } from "../api/live";
import { useOverview } from "../api/queries";
import { useKeyboard } from "../hooks/useKeyboard";
import { useI18n } from "../i18n/I18n";
import type { Key } from "../i18n/dictionary";
import { Icon, type IconName } from "../parts/Icon";
import { Banners } from "./Banners";
import { LiveState } from "./LiveState";
import { LanguageSwitch, ThemeSwitch } from "./Switches";
import { Who } from "./Who";

const Help = lazy(() => import("./Help"));

const PLACES: { to: string; label: Key; icon: IconName }[] = [
  { to: "/", label: "nav.overview", icon: "overview" },
  { to: "/incidents", label: "nav.incidents", icon: "incident" },
  { to: "/verdicts", label: "nav.verdicts", icon: "verdict" },
  { to: "/dead-letters", label: "nav.dead_letters", icon: "letter" },
  { to: "/automation", label: "nav.automation", icon: "automation" },
  { to: "/rules", label: "nav.rules", icon: "rule" },
  { to: "/plane", label: "nav.plane", icon: "gauge" },
];

export function Shell({ children }: { children: ReactNode }) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const [help, setHelp] = useState(false);
  const toggleHelp = useCallback(() => setHelp((shown) => !shown), []);
  const go = useCallback((path: string) => void navigate(path), [navigate]);
  useLiveFeed();
  useKeyboard(toggleHelp, go);
  const overview = useOverview().data;
  const open = overview?.open_incidents["total"] ?? 0;
  return (
    <div className="shell">
      <a className="skip" href="#main">
        {t("nav.skip")}
      </a>
      <header className="topbar">
        <NavLink to="/" className="brand">
          <span className="brandmark">
            <Icon name="bell" />
          </span>
          <span className="brandname">Tocsin</span>
          {overview ? <span className="shopname">{overview.shop}</span> : null}
          <span className="visually-hidden">{t("nav.home")}</span>
        </NavLink>
        <LiveState />
        <span className="spring" />
        <div className="tools">
          <button type="button" className="tool wide-only" aria-label={t("help.open")} title={t("help.open")} onClick={toggleHelp}>
            <Icon name="keyboard" />
            <kbd>?</kbd>
          </button>
          <LanguageSwitch />
          <ThemeSwitch />
          <Who />
        </div>
      </header>
      <nav className="rail" aria-label={t("nav.label")}>
        {PLACES.map((place) => (
          <NavLink key={place.to} to={place.to} end={place.to === "/"} className="place">
            <Icon name={place.icon} />
            <span>{t(place.label)}</span>
            {place.to === "/incidents" && open > 0 ? <b className="num">{open}</b> : null}
          </NavLink>
        ))}
      </nav>
      <div className="content">
        <Banners />
        <main id="main" tabIndex={-1}>
          {children}
        </main>
      </div>
      <Suspense fallback={null}>{help ? <Help close={() => setHelp(false)} /> : null}</Suspense>
    </div>
  );
}
