//! What the sections share: numbers, pictures, plots, and cards of facts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, Render, html};

use crate::report::axis::superscript;
use crate::report::filters::FilterSheet;
use crate::report::number;

/// Four significant digits, set as in print.
pub(super) fn short(value: f64) -> String {
    if !value.is_finite() {
        return "not finite".into();
    }
    let text = number::short(value);
    let set = text
        .split_once('e')
        .and_then(|(mantissa, exponent)| Some(format!("{mantissa}·10{}", superscript(exponent.parse().ok()?))));
    set.unwrap_or(text).replace('-', "−")
}

/// A whole number with its thousands apart.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// A duration.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), s % 3600.0 / 60.0),
    }
}

/// A fact: what it is, its value, and a few words more.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) more: String,
}

impl Fact {
    pub(super) fn new(name: &'static str, value: impl Into<String>, more: impl Into<String>) -> Self {
        Self { name, value: value.into(), more: more.into() }
    }
}

/// Facts as cards.
pub(super) fn facts(facts: &[Fact]) -> Markup {
    html! {
        dl.facts {
            @for fact in facts {
                div {
                    dt { (fact.name) }
                    dd { (fact.value) @if !fact.more.is_empty() { small { (fact.more) } } }
                }
            }
        }
    }
}

/// A plot, which is an SVG document, with a caption.
pub(super) fn plot(svg: &str, caption: impl Render) -> Markup {
    html! { figure { div.plot { (PreEscaped(svg)) } figcaption { (caption) } } }
}

/// A legend: the picture of a line or a bar, and what it stands for.
pub(super) fn key<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        ul.key {
            @for (svg, label) in entries { li { span.plot aria-hidden="true" { (PreEscaped(svg)) } (label) } }
        }
    }
}

/// A plot that its own title says all of.
pub(super) fn bare_plot(svg: &str) -> Markup {
    html! { figure { div.plot { (PreEscaped(svg)) } } }
}

/// A sheet of tiles as an image; nothing where it could not be drawn.
pub(super) fn tiles(sheet: &FilterSheet, class: &str, alt: &str) -> Markup {
    let Ok(png) = sheet.png() else { return html! {} };
    let (height, width) = sheet.size;
    let source = format!("data:image/png;base64,{}", STANDARD.encode(png));
    html! { img class={ "tiles " (class) } src=(source) width=(width) height=(height) alt=(alt); }
}

/// A line for what cannot be shown, and why.
pub(super) fn note(text: &str) -> Markup {
    html! { p.note { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_set_as_in_print() {
        assert_eq!([1.0, 12.3456, 0.0, -0.5].map(short), ["1.000", "12.35", "0", "−0.5000"]);
        assert_eq!([1.5e-9, 2e7, f64::NAN].map(short), ["1.500·10⁻⁹", "2.000·10⁷", "not finite"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1.234, 65.0, 125.0, 7260.0].map(duration), ["1.23 s", "65 s", "2 min 5 s", "2 h 1 min"]);
    }

    #[test]
    fn foreign_text_is_escaped() {
        let text = note("<script>alert('x')</script>").into_string();
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"), "{text}");
    }
}
