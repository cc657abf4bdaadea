import type { EChartsCoreOption } from "echarts/core";
import { useMemo } from "react";

import type { Action, Incident, SeriesView } from "../api/types";
import { clock } from "../format/format";
import { serverNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";
import { Chart } from "./Chart";
import { usePalette } from "./palette";
import { axisOf, writer } from "./units";

/** The series that shows the incident, with its onset, and from where to where each action held. */
export default function EvidenceChart(props: { series: SeriesView; incident: Incident; actions: Action[] }) {
  const { series, incident, actions } = props;
  const { t, language } = useI18n();
  const palette = usePalette();
  const done = useMemo(
    () =>
      actions
        .filter((action) => action.done)
        .map((action) => ({ from: action.done, to: action.ended || action.expires || 0 })),
    [actions],
  );
  const option = useMemo<EChartsCoreOption>(() => {
    const now = serverNow();
    const write = writer(series.name, incident.currency, language);
    const first = done.length ? Math.min(...done.map((span) => span.from)) : 0;
    const marks = [
      { at: incident.onset, name: t("chart.onset"), color: palette.alarm },
      ...(first ? [{ at: first, name: t("chart.acted"), color: palette.good }] : []),
    ];
    const from = series.points[0]?.[0] ?? incident.onset;
    const range = Math.max(1, (series.points.at(-1)?.[0] ?? now) - from);
    // Left and right of their lines, for the two are often seconds apart; but never over the edge.
    const side = (at: number, index: number) => {
      const place = (at - from) / range;
      return index === 0 ? (place < 0.12 ? "left" : "right") : place > 0.86 && incident.onset < at - range / 5 ? "right" : "left";
    };
    return {
      animation: false,
      grid: { left: 8, right: 14, top: 30, bottom: 4, containLabel: true },
      tooltip: {
        trigger: "axis",
        backgroundColor: palette.panel,
        borderColor: palette.line,
        textStyle: { color: palette.ink, fontSize: 12 },
        formatter: (items: { value: [number, number | null] }[]) => {
          const value = items[0]?.value;
          if (!value) return "";
          return `${clock(value[0] * 1000, now)}<br><b>${value[1] === null ? t("chart.missing") : write(value[1])}</b>`;
        },
      },
      xAxis: {
        type: "time",
        minInterval: 60_000,
        axisLine: { lineStyle: { color: palette.line } },
        axisTick: { show: false },
        axisLabel: { color: palette.ink2, fontSize: 11, hideOverlap: true, formatter: (at: number) => clock(at * 1000, now, false) },
      },
      yAxis: {
        type: "value",
        ...axisOf(series),
        splitNumber: 3,
        axisLabel: { color: palette.ink2, fontSize: 11, formatter: (value: number) => write(value) },
        splitLine: { lineStyle: { color: palette.line } },
      },
      series: [
        {
          type: "line",
          name: series.name,
          data: series.points.map(([start, value]) => [start / 1000, value]),
          // A value between two gaps has no line: its dot is all there is of it.
          showSymbol: series.points.some(([, value]) => value === null),
          symbolSize: 3,
          symbol: "circle",
          lineStyle: { color: palette.accent, width: 1.6 },
          itemStyle: { color: palette.accent },
          areaStyle: { color: palette.soft },
          markLine: {
            symbol: "none",
            silent: true,
            data: marks.map((mark, index) => ({
              xAxis: mark.at / 1000,
              lineStyle: { color: mark.color, width: 1.2, type: index ? "solid" : "dashed" },
              label: {
                formatter: mark.name,
                color: mark.color,
                fontSize: 11,
                fontWeight: 600,
                padding: [0, 5],
                align: side(mark.at, index),
              },
            })),
          },
          markArea: {
            silent: true,
            itemStyle: { color: palette.good, opacity: 0.07 },
            data: done.length
              ? [[{ xAxis: first / 1000 }, { xAxis: Math.min(now, Math.max(...done.map((span) => span.to || now))) / 1000 }]]
              : [],
          },
        },
      ],
    };
  }, [series, incident.onset, incident.currency, done, palette, t, language]);
  return <Chart option={option} height={220} label={t("chart.evidence", { series: series.name })} />;
}
