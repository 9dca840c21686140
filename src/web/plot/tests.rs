use super::axis::{Scale, time_ticks};
use super::*;
use chrono::TimeDelta;
use proptest::prelude::*;

const READER: Reader<'_> = Reader {
    zone: chrono_tz::Europe::Berlin,
    months: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    time: "Time",
    nothing: "No values yet",
};

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn hours(first: &str, count: i64) -> Vec<DateTime<Utc>> {
    (0..count).map(|hour| at(first) + TimeDelta::hours(hour)).collect()
}

fn plot<'a>(kind: Kind, times: Vec<DateTime<Utc>>, values: &[&[Option<f64>]]) -> Plot<'a> {
    let series = |values: &&[Option<f64>]| Series { label: "sent", tone: Tone::One, values: values.to_vec() };
    let series = values.iter().map(series).collect();
    Plot { id: "rate", title: "Sent", unit: "messages", kind, times, series, limit: None }
}

fn some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

/// The tags with their attributes; fails if they are not nested properly or an attribute stands twice.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let (mut open, mut tags) = (Vec::new(), Vec::new());
    for part in html.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("an end of the tag");
        assert!(!text.contains('>') && !tag.contains("NaN") && !tag.contains("inf"), "{part}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{html}");
            continue;
        }
        let (tag, is_closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes: Vec<(String, String)> = Vec::new();
        while let Some((key, after)) = rest.trim_start().split_once("=\"") {
            let (value, after) = after.split_once('"').expect("an end of the value");
            assert!(attributes.iter().all(|(other, _)| other != key), "{tag}");
            attributes.push((key.to_owned(), value.to_owned()));
            rest = after;
        }
        assert!(rest.is_empty(), "{tag}");
        if !is_closed {
            open.push(name.to_owned());
        }
        tags.push((name.to_owned(), attributes));
    }
    assert!(open.is_empty(), "{open:?}");
    tags
}

/// That every position is a number within the picture, and that nothing has a style.
fn check(html: &str) {
    let mut is_inner = false;
    for (name, attributes) in tags(html) {
        let get = |key: &str| attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        assert!(get("style").is_none());
        let number = |key: &str| {
            let text = get(key)?;
            let (text, limit) = text.strip_suffix('%').map_or((text, HEIGHT), |text| (text, 100.01));
            let value: f64 = text.parse().unwrap_or_else(|_| panic!("{name} {key}={text}"));
            // The labels of the vertical axis stand left of it.
            assert!((0.0..=limit).contains(&value) || (key, value) == ("x", -8.0), "{name} {key}={text}");
            Some(value)
        };
        for key in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "rx"] {
            number(key);
        }
        if name == "rect" {
            assert!(number("x").unwrap_or_default() + number("width").unwrap_or_default() <= 100.02, "{attributes:?}");
            if get("class") != Some("rod") && number("height").is_some() {
                assert!(number("y").unwrap_or_default() + number("height").unwrap_or_default() <= FLOOR + 0.11);
            }
        }
        if name == "svg" {
            is_inner = get("viewBox").is_some();
        }
        if name == "path" {
            assert!(is_inner);
            let points = get("d").expect("a path").split(['M', 'L']).filter(|point| !point.is_empty());
            for point in points {
                let (x, y) = point.trim_end_matches('Z').split_once(' ').expect("two numbers");
                let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
                assert!((0.0..=WIDTH).contains(&x) && (0.0..=FLOOR - TOP).contains(&y), "{point}");
            }
        }
    }
}

fn count(html: &str, part: &str) -> usize {
    html.matches(part).count()
}

#[test]
fn h2_a_plot_has_title_unit_legend_values_and_a_table() {
    let html = plot(Kind::Lines, hours("2026-11-20T06:00:00Z", 3), &[&some(&[1.0, 2.5, 12_000.0])]).figure(&READER);
    check(&html);
    assert!(html.contains(r#"<h2 id="plot-rate">Sent <span>messages</span></h2>"#), "{html}");
    assert!(html.contains(r#"role="img" aria-labelledby="plot-rate""#), "{html}");
    assert!(html.contains("sent <b>12\u{202f}000</b>"), "{html}");
    assert!(html.contains("<title>20 Nov 2026, 08:00\nsent: 2.5</title>"), "{html}");
    assert!(html.contains("<caption>Sent, messages</caption>"), "{html}");
    assert!(html.contains(r#"<tr><th scope="row">20 Nov 2026, 07:00</th><td>1</td></tr>"#), "{html}");
}

#[test]
fn h2_texts_of_a_plot_stay_texts() {
    let evil = "</svg><script>\"'&\u{0}";
    let mut plot = plot(Kind::Stacked, hours("2026-11-20T06:00:00Z", 2), &[&some(&[1.0, 2.0])]);
    (plot.title, plot.unit, plot.series[0].label) = (evil, evil, evil);
    plot.limit = Some(Limit { value: 3.0, label: evil });
    let html = plot.figure(&Reader { time: evil, ..READER });
    check(&html);
    check(&funnel(&[Step { label: evil, count: 1, tone: Tone::Bad }]));
    check(&sparkline(&[1.0], Tone::Bad, evil));
    assert!(!html.contains("<script") && !html.contains('\0'), "{html}");
}

#[test]
fn h2_a_plot_without_values_says_so() {
    let times = hours("2026-11-20T06:00:00Z", 2);
    for empty in [
        plot(Kind::Lines, vec![], &[]),
        plot(Kind::Stacked, vec![], &[&[]]),
        plot(Kind::Stacked, times.clone(), &[]),
        plot(Kind::Lines, times, &[&[None, Some(f64::NAN)]]),
    ] {
        let html = empty.figure(&READER);
        check(&html);
        assert!(html.contains(">No values yet</text>"), "{html}");
    }
}

#[test]
fn h2_a_single_point_stands_in_the_middle_with_its_time() {
    let html = plot(Kind::Lines, hours("2026-11-20T06:00:00Z", 1), &[&some(&[7.0])]).figure(&READER);
    check(&html);
    assert!(html.contains(r#"<circle class="point lone t1" cx="50%""#), "{html}");
    assert!(html.contains(">20 Nov, 07:00</text>"), "{html}");
    check(&plot(Kind::Stacked, hours("2026-11-20T06:00:00Z", 1), &[&some(&[7.0])]).figure(&READER));
}

#[test]
fn h2_a_gap_divides_a_line_and_a_value_between_gaps_is_a_point() {
    let values = [Some(1.0), Some(2.0), None, Some(3.0), None, Some(4.0), Some(5.0)];
    let html = plot(Kind::Lines, hours("2026-11-20T06:00:00Z", 7), &[&values]).figure(&READER);
    check(&html);
    let line = html.split(r#"class="line t1" d=""#).nth(1).expect("a line");
    assert_eq!(count(line.split('"').next().unwrap_or_default(), "M"), 2, "{html}");
    assert_eq!(count(&html, "point lone"), 1, "{html}");
}

#[test]
fn h2_many_points_become_few_and_keep_sums_and_peaks() {
    let values: Vec<f64> = (0..10_000).map(|at| if at == 5_003 { 900.0 } else { 1.0 }).collect();
    let times: Vec<_> = hours("2026-11-20T06:00:00Z", 10_000);
    for (kind, shown) in [(Kind::Lines, "sent: 900<"), (Kind::Stacked, "sent: 983<")] {
        let html = plot(kind, times.clone(), &[&some(&values)]).figure(&READER);
        check(&html);
        assert!(count(&html, r#"<g class="at">"#) <= MOST && html.contains(shown), "{html}");
    }
    let html = plot(Kind::Stacked, times, &[&some(&values)]).figure(&READER);
    assert!(html.contains("<b>10\u{202f}899</b>"), "the sum of all");
}

#[test]
fn h2_axes_have_round_numbers() {
    let shown = |values: &[f64]| {
        let scale = Scale::of(values.iter().copied(), values.iter().all(|value| value.fract() == 0.0));
        scale.ticks().map(|value| scale.short(value)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(&[0.0]), "0 1");
    assert_eq!(shown(&[1.0]), "0 1");
    assert_eq!(shown(&[3.0]), "0 1 2 3");
    assert_eq!(shown(&[452.0]), "0 100 200 300 400 500");
    assert_eq!(shown(&[0.83]), "0 0.2 0.4 0.6 0.8 1.0");
    assert_eq!(shown(&[7_400.0]), "0 2\u{202f}000 4\u{202f}000 6\u{202f}000 8\u{202f}000");
    assert_eq!(shown(&[12_000.0]), "0 2.5k 5.0k 7.5k 10.0k 12.5k");
    assert_eq!(shown(&[2.4e9]), "0 0.5G 1.0G 1.5G 2.0G 2.5G");
    assert_eq!(shown(&[-40.0, 60.0]), "−40 −20 0 20 40 60");
    assert_eq!(shown(&[0.000_4]), "0 0.0001 0.0002 0.0003 0.0004");
}

#[test]
fn h2_times_are_the_readers_and_survive_summer_time() {
    let labels =
        |first, last| time_ticks(at(first), at(last), &READER).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
    assert_eq!(
        labels("2026-11-20T06:10:00Z", "2026-11-20T07:05:00Z"),
        ["07:10", "07:20", "07:30", "07:40", "07:50", "08:00"]
    );
    assert_eq!(labels("2026-11-20T12:00:00Z", "2026-11-21T12:00:00Z"), ["18:00", "21 Nov", "06:00", "12:00"]);
    assert_eq!(labels("2026-11-01T00:00:00Z", "2026-11-30T00:00:00Z"), ["5 Nov", "12 Nov", "19 Nov", "26 Nov"]);
    // Clocks go from 02:00 to 03:00, and from 03:00 to 02:00.
    assert_eq!(labels("2026-03-28T23:30:00Z", "2026-03-29T04:30:00Z"), ["01:00", "03:00", "04:00", "05:00", "06:00"]);
    assert_eq!(labels("2026-10-24T22:00:00Z", "2026-10-25T03:00:00Z"), ["25 Oct", "01:00", "02:00", "03:00", "04:00"]);
    assert!(labels("2016-01-01T00:00:00Z", "2026-01-01T00:00:00Z").len() <= 8);
}

#[test]
fn h2_a_funnel_shows_shares_of_its_first_step() {
    let step = |label, count| Step { label, count, tone: Tone::One };
    let html = funnel(&[step("queued", 1_000), step("sent", 971), step("read", 0), step("more", 2_000)]);
    check(&html);
    assert!(
        html.contains(r#"<rect width="97.1%" height="100%"/>"#) && html.contains("<small>97.1 %</small>"),
        "{html}"
    );
    assert!(html.contains(r#"<rect width="0%" height="100%"/>"#), "{html}");
    check(&funnel(&[step("queued", 0), step("sent", -5)]));
    check(&funnel(&[]));
}

#[test]
fn h2_a_sparkline_is_drawn_for_any_values() {
    for values in [&[][..], &[3.0], &[0.0, 0.0], &[f64::NAN, f64::INFINITY, 1.0, 2.0], &[-1.0, 1e300]] {
        let html = sparkline(values, Tone::One, "sent");
        tags(&html);
        assert!(html.contains(r#"role="img" aria-label="sent""#), "{html}");
    }
    assert!(sparkline(&[3.0], Tone::One, "sent").contains(r#"d="M0.0 2.0L100.0 2.0""#));
}

fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        4 => (0_u32..2_000).prop_map(|value| Some(f64::from(value))),
        1 => any::<f64>().prop_map(Some),
        1 => (-1e6..1e6).prop_map(Some),
    ]
}

proptest! {
    #[test]
    fn h2_every_plot_is_well_formed_finite_and_within_its_picture(
        kind in prop_oneof![Just(Kind::Lines), Just(Kind::Stacked)],
        steps in prop::collection::vec(0_i64..200_000, 0..150),
        series in prop::collection::vec(prop::collection::vec(value(), 0..160), 0..4),
        limit in prop::option::of(any::<f64>()),
    ) {
        let mut time = at("2026-01-01T00:00:00Z");
        let times = steps.into_iter().map(|step| { time += TimeDelta::seconds(step); time }).collect();
        let values: Vec<&[Option<f64>]> = series.iter().map(Vec::as_slice).collect();
        let mut plot = plot(kind, times, &values);
        plot.limit = limit.map(|value| Limit { value, label: "limit" });
        let html = plot.figure(&READER);
        check(&html);
        prop_assert!(html.len() < 200_000);
    }
}
