import type { EChartsCoreOption } from "echarts/core";
import { useMemo } from "react";

import type { SeriesView } from "../api/types";
import { clock } from "../format/format";
import { serverNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";
import { Chart } from "./Chart";
import { usePalette } from "./palette";
import { axisOf, writer } from "./units";

/** One rate over the last hour, small: its shape and its last values. */
export default function RateChart({ series, title, currency }: { series: SeriesView; title: string; currency: string }) {
  const { t, language } = useI18n();
  const palette = usePalette();
  const option = useMemo<EChartsCoreOption>(() => {
    const write = writer(series.name, currency, language);
    return {
      animation: false,
      grid: { left: 4, right: 12, top: 8, bottom: 2, containLabel: true },
      tooltip: {
        trigger: "axis",
        backgroundColor: palette.panel,
        borderColor: palette.line,
        textStyle: { color: palette.ink, fontSize: 12 },
        formatter: (items: { value: [number, number | null] }[]) => {
          const value = items[0]?.value;
          if (!value) return "";
          const shown = value[1] === null ? t("chart.missing") : write(value[1]);
          return `${clock(value[0] * 1000, serverNow(), false)}<br><b>${shown}</b>`;
        },
      },
      xAxis: {
        type: "time",
        minInterval: 60_000,
        axisLine: { lineStyle: { color: palette.line } },
        axisTick: { show: false },
        splitNumber: 3,
        axisLabel: {
          color: palette.ink2,
          fontSize: 11,
          hideOverlap: true,
          formatter: (at: number) => clock(at * 1000, serverNow(), false),
        },
      },
      yAxis: {
        type: "value",
        ...axisOf(series),
        splitNumber: 2,
        axisLabel: { color: palette.ink2, fontSize: 11, formatter: (value: number) => write(value) },
        splitLine: { lineStyle: { color: palette.line } },
      },
      series: [
        {
          type: "line",
          data: series.points.map(([start, value]) => [start / 1000, value]),
          showSymbol: false,
          // Small and for its shape: the incident's own chart shows the gaps.
          connectNulls: true,
          lineStyle: { color: palette.accent, width: 1.5 },
          itemStyle: { color: palette.accent },
          areaStyle: { color: palette.soft },
        },
      ],
    };
  }, [series, currency, palette, t, language]);
  return <Chart option={option} height={120} label={t("chart.rate", { series: title })} />;
}
