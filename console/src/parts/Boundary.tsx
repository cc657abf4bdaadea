import { Button } from "antd";
import { Component, type ReactNode } from "react";

import { useI18n } from "../i18n/I18n";

/** Keeps a fault of one part from taking the page away; says what to do. */
export class Boundary extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const { t } = useI18n();
  return (
    <div className="problem" role="alert">
      <p>{t("broken.text")}</p>
      <Button onClick={() => window.location.reload()}>{t("broken.reload")}</Button>
    </div>
  );
}
