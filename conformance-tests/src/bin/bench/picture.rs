//! Pictures, as SVG that is readable on light and on dark pages: bars of ratios, and curves. Both axes of values are logarithmic.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
/// Where bars begin, right of their names.
const LEFT: f64 = 300.0;
const BAR: f64 = 22.0;
const TOP: f64 = 48.0;
const COLORS: [&str; 6] = ["#2f7ed8", "#d9822b", "#3a9d5d", "#b04fc4", "#d64550", "#7a8794"];
const STYLE: &str = "<style>text{font:12px sans-serif;fill:#222}.bg{fill:#fff}.grid{stroke:#8885}.end{text-anchor:end}\
    .mark{stroke:#222;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#ddd}.bg{fill:#161b22}.mark{stroke:#ddd}}</style>";

/// A bar of a ratio.
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Lower quartile, median, upper quartile.
    pub(crate) quartiles: [f64; 3],
    /// A mark at what is wanted.
    pub(crate) wanted: Option<f64>,
}

/// A curve.
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Across and up.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A logarithmic axis: from a power of ten to a power of ten, onto pixels.
struct Axis {
    powers: (f64, f64),
    pixels: (f64, f64),
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>, pixels: (f64, f64)) -> Self {
        let values = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) =
            if low.is_finite() { (low.log10().floor(), high.log10().ceil()) } else { (0.0, 1.0) };
        Self { powers: (low, high.max(low + 1.0)), pixels }
    }

    fn at(&self, value: f64) -> f64 {
        let ((low, high), (from, to)) = (self.powers, self.pixels);
        from + (value.log10() - low) / (high - low) * (to - from)
    }

    /// Values that have a line: powers of ten.
    fn lines(&self) -> impl Iterator<Item = f64> {
        let (low, high) = self.powers;
        (low as i32..=high as i32).map(|power| 10_f64.powi(power))
    }
}

/// One bar below the other, from 1 on.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let height = TOP + bars.len() as f64 * BAR + 30.0;
    let wanted = bars.iter().filter_map(|bar| bar.wanted);
    let values = bars.iter().flat_map(|bar| bar.quartiles).chain(wanted).chain([1.0]);
    let axis = Axis::of(values, (LEFT, WIDTH - 70.0));
    let mut svg = begin(title, height);
    for value in axis.lines() {
        let (x, bottom) = (axis.at(value), height - 26.0);
        let _ = writeln!(svg, r#"<path class="grid" d="M{x:.1} {}V{bottom:.1}"/>"#, TOP - 8.0);
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{:.1}">{value} ×</text>"#, height - 10.0);
    }
    for (at, bar) in bars.iter().enumerate() {
        let (y, [lower, middle, upper]) = (TOP + at as f64 * BAR, bar.quartiles.map(|ratio| axis.at(ratio)));
        let (one, text) = (axis.at(1.0), y + 12.0);
        let (x, width) = (one.min(middle), (middle - one).abs());
        let color =
            if bar.wanted.is_some_and(|wanted| bar.quartiles[1] < wanted) { COLORS[1] } else { COLORS[0] };
        let name = escape(&bar.name);
        let _ = writeln!(svg, r#"<text class="end" x="{:.1}" y="{text:.1}">{name}</text>"#, LEFT - 8.0);
        let _ = writeln!(
            svg,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="16" fill="{color}"/><path class="mark" d="M{lower:.1} {0:.1}H{upper:.1}"/>"#,
            y + 8.0
        );
        if let Some(x) = bar.wanted.map(|wanted| axis.at(wanted)) {
            let _ = writeln!(svg, r#"<path class="mark" d="M{x:.1} {:.1}v20"/>"#, y - 2.0);
        }
        let x = bar.wanted.map_or(upper, |wanted| upper.max(axis.at(wanted))) + 8.0;
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{text:.1}">{:.1}</text>"#, bar.quartiles[1]);
    }
    svg + "</svg>\n"
}

/// Curves with their names beside their ends.
pub(crate) fn curves(title: &str, across: &str, curves: &[Curve]) -> String {
    let (height, right) = (440.0, WIDTH - 190.0);
    let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    let x_axis = Axis::of(points().map(|(x, _)| x), (60.0, right));
    let y_axis = Axis::of(points().map(|(_, y)| y), (height - 50.0, TOP));
    let mut svg = begin(title, height);
    for value in x_axis.lines() {
        let x = x_axis.at(value);
        let _ = writeln!(svg, r#"<path class="grid" d="M{x:.1} {TOP}V{:.1}"/>"#, height - 50.0);
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{:.1}">{value}</text>"#, height - 32.0);
    }
    for value in y_axis.lines() {
        let y = y_axis.at(value);
        let _ = writeln!(svg, r#"<path class="grid" d="M60 {y:.1}H{right:.1}"/>"#);
        let _ = writeln!(svg, r#"<text class="end" x="54" y="{:.1}">{value}</text>"#, y + 4.0);
    }
    for (at, curve) in curves.iter().enumerate() {
        let color = COLORS[at % COLORS.len()];
        let drawn = curve.points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0);
        let points: String =
            drawn.map(|(x, y)| format!("{:.1},{:.1} ", x_axis.at(*x), y_axis.at(*y))).collect();
        let _ =
            writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>"#);
        let (y, name) = (TOP + 10.0 + at as f64 * 20.0, escape(&curve.name));
        let (x, box_y) = (right + 16.0, y - 9.0);
        let _ = writeln!(svg, r#"<rect x="{x:.1}" y="{box_y:.1}" width="10" height="10" fill="{color}"/>"#);
        let _ = writeln!(svg, r#"<text x="{:.1}" y="{y:.1}">{name}</text>"#, x + 16.0);
    }
    let (x, y) = (right, height - 12.0);
    svg + &format!("<text class=\"end\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n</svg>\n", escape(across))
}

fn begin(title: &str, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n{STYLE}\n\
         <rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n<text x=\"16\" y=\"24\">{title}</text>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{Axis, Bar, Curve, bars, curves};

    #[test]
    fn an_axis_is_logarithmic() {
        let axis = Axis::of([2.0, 50.0, f64::NAN].into_iter(), (0.0, 200.0));
        assert!((axis.at(10.0) - 100.0).abs() < 1e-9);
        assert_eq!(axis.lines().collect::<Vec<_>>(), [1.0, 10.0, 100.0]);
    }

    #[test]
    fn pictures_are_of_numbers_alone() {
        let bar = Bar { name: "a < b".to_owned(), quartiles: [2.0, 3.0, 4.0], wanted: Some(5.0) };
        let curve = Curve { name: "PUT".to_owned(), points: vec![(1000.0, 0.2), (3000.0, 0.0)] };
        for picture in [bars("ratios", &[bar]), bars("none", &[]), curves("growth", "objects", &[curve])] {
            assert!(picture.ends_with("</svg>\n") && !picture.contains("NaN") && !picture.contains("inf"));
        }
    }
}
