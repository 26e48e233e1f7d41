//! The text that Prometheus reads: the format that every version of it knows, and OpenMetrics.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use storage::figures::Histogram;

/// Labels of a series.
pub type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Nanoseconds of a second.
const NS: f64 = 1e9;

/// Families of series that are written one after the other.
#[derive(Debug, Default)]
pub struct Text {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    series: Vec<(Vec<(String, String)>, Value)>,
}

#[derive(Debug)]
enum Value {
    Counter(f64),
    Gauge(f64),
    Histogram { sum: f64, buckets: Vec<(f64, u64)> },
}

impl Text {
    /// Counters of this name, to which `_total` is added. A family without series is left out.
    pub fn counter<'a>(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let series = series.into_iter().map(|(labels, value)| (owned(&labels), Value::Counter(value)));
        self.family(name, help, MetricType::Counter, series.collect());
    }

    /// Gauges of this name.
    pub fn gauge<'a>(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let series = series.into_iter().map(|(labels, value)| (owned(&labels), Value::Gauge(value)));
        self.family(name, help, MetricType::Gauge, series.collect());
    }

    /// Histograms of durations that were seen in nanoseconds, told in seconds.
    pub fn histogram_s<'a>(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Labels<'a>, &'a Histogram)>,
    ) {
        self.histogram(name, help, NS, series);
    }

    /// Histograms of numbers.
    pub fn histogram_of_counts<'a>(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Labels<'a>, &'a Histogram)>,
    ) {
        self.histogram(name, help, 1.0, series);
    }

    fn histogram<'a>(
        &mut self,
        name: &'static str,
        help: &'static str,
        unit: f64,
        series: impl IntoIterator<Item = (Labels<'a>, &'a Histogram)>,
    ) {
        let series = series.into_iter().map(|(labels, histogram)| {
            let (counts, sum) = histogram.read();
            let buckets = counts
                .map(|(bound, count)| (bound.map_or(f64::INFINITY, |bound| bound as f64 / unit), count));
            (owned(&labels), Value::Histogram { sum: sum as f64 / unit, buckets: buckets.collect() })
        });
        self.family(name, help, MetricType::Histogram, series.collect());
    }

    fn family(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: MetricType,
        series: Vec<(Vec<(String, String)>, Value)>,
    ) {
        if !series.is_empty() {
            self.families.push(Family { name, help, kind, series });
        }
    }

    /// As OpenMetrics 1.0.
    pub fn open_metrics(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Only a writer that fails makes this fail, and a string does not.
        let _ = encode(&mut text, &registry);
        text
    }

    /// As the text format 0.0.4, which names counters as their series are named and knows no units.
    pub fn prometheus(self) -> String {
        let counters = self.families.iter().filter(|family| matches!(family.kind, MetricType::Counter));
        let counters: Vec<_> = counters.map(|family| family.name).collect();
        let open = self.open_metrics();
        let mut text = String::with_capacity(open.len() + 1024);
        for line in open.lines() {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("EOF" | "UNIT"), ..) => continue,
                (Some("#"), Some(word), Some(name), Some(rest)) if counters.contains(&name) => {
                    text.push_str(&format!("# {word} {name}_total {rest}"));
                }
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }
}

fn owned(labels: &Labels<'_>) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl prometheus_client::collector::Collector for Text {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.families {
            let encoder = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            family.encode(encoder)?;
        }
        Ok(())
    }
}

impl EncodeMetric for Family {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, value) in &self.series {
            if labels.is_empty() {
                value.encode(&mut encoder)?;
            } else {
                value.encode(&mut encoder.encode_family(labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        type NoLabels = [(&'static str, &'static str); 0];
        match self {
            Self::Counter(value) => encoder.encode_counter::<NoLabels, _, f64>(value, None),
            Self::Gauge(value) => encoder.encode_gauge(value),
            Self::Histogram { sum, buckets } => {
                let count = buckets.iter().map(|(_, count)| count).sum();
                encoder.encode_histogram::<NoLabels>(*sum, count, buckets, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::figures::BATCH_BOUNDS;

    use super::*;

    fn text(histogram: &Histogram) -> Text {
        let mut text = Text::default();
        text.counter("sealgate_a", "Of a", [(vec![("bucket", "x\"y")], 2.0)]);
        text.gauge("sealgate_b_bytes", "Of b", [(vec![], 1.5)]);
        text.gauge("sealgate_nothing", "Of nothing", []);
        text.histogram_of_counts("sealgate_c", "Of c", [(vec![], histogram)]);
        text
    }

    #[test]
    fn counters_have_their_suffix_in_either_format() {
        let histogram = Histogram::new(&BATCH_BOUNDS);
        histogram.observe(2);
        histogram.observe(300);
        let plain = text(&histogram).prometheus();
        assert!(
            plain.starts_with("# HELP sealgate_a_total Of a\n# TYPE sealgate_a_total counter\nsealgate_a_total{bucket=\"x\\\"y\"} 2.0\n"),
            "{plain}"
        );
        assert!(plain.contains("\n# TYPE sealgate_b_bytes gauge\nsealgate_b_bytes 1.5\n"), "{plain}");
        assert!(plain.contains("sealgate_c_sum 302.0\nsealgate_c_count 2\n"), "{plain}");
        assert!(plain.contains("sealgate_c_bucket{le=\"2.0\"} 1\n"), "{plain}");
        assert!(plain.contains("sealgate_c_bucket{le=\"+Inf\"} 2\n"), "{plain}");
        assert!(!plain.contains("nothing") && !plain.contains("EOF"), "{plain}");
        let open = text(&histogram).open_metrics();
        assert!(open.contains("# TYPE sealgate_a counter\nsealgate_a_total{"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
    }
}
