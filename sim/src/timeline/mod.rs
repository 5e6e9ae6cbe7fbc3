//! One self-contained page to debug a failing seed with: lanes, offsets over time, and the violation's causes.
//!
//! This module owns the page's template and how plan and trace are put into it; the page itself reads the trace in the
//! browser. The page needs no network and nothing beside it. Nothing here knows how a trace comes to be: whatever a
//! line says beyond the format's common fields is shown as text.

use crate::oracle::OracleId;

const TEMPLATE: &str = include_str!("timeline.html");
const STYLE: &str = include_str!("timeline.css");
/// In this order they make up one script.
const SCRIPTS: [&str; 9] = [
    include_str!("trace.js"),
    include_str!("axis.js"),
    include_str!("lanes.js"),
    include_str!("marks.js"),
    include_str!("charts.js"),
    include_str!("frame.js"),
    include_str!("lists.js"),
    include_str!("timeline.js"),
    include_str!("pointer.js"),
];
const SLOT: &str = "<!--slot:";

/// `plan_json` is one JSON value, `trace` one JSON object per line. A `title` that ends in `.json` is the plan's path as
/// `replay` takes it; with any other the page tells to replay the `plan.json` beside it.
pub fn page(title: &str, plan_json: &str, trace: &str) -> String {
    let mut page = String::with_capacity(TEMPLATE.len() + plan_json.len() + 2 * trace.len());
    let mut parts = TEMPLATE.split(SLOT);
    page.push_str(parts.next().expect("a split yields at least one part"));
    for part in parts {
        let (slot, rest) = part.split_once("-->").expect("the template closes its slots");
        match slot {
            "title" => page.push_str(&html_text(title)),
            "style" => page.push_str(STYLE),
            "plan" => page.push_str(&json_in_html(plan_json)),
            "trace" => page.push_str(&json_in_html(trace)),
            "oracles" => page.push_str(&json_in_html(&oracles())),
            "script" => page.extend(SCRIPTS),
            other => panic!("the template names an unknown slot: {other}"),
        }
        page.push_str(rest);
    }
    page
}

/// What each oracle holds a run against, by its name.
fn oracles() -> String {
    let meaning = |oracle: OracleId| (oracle.to_string(), oracle.meaning().into());
    serde_json::Value::Object(OracleId::ALL.iter().copied().map(meaning).collect()).to_string()
}

fn html_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// In JSON a `<` stands only inside strings, where it may be escaped; so no text ends the script element early.
fn json_in_html(json: &str) -> String {
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = concat!(
        r#"{"n":1,"at_us":0,"lane":"client 0","what":"operation","op":1,"key":"k","text":"put k=1"}"#,
        "\n",
        r#"{"n":2,"at_us":7,"cause":1,"lane":"world","what":"violation","oracle":"O4","text":"differs"}"#,
    );

    fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
        let (_, rest) = page.split_once(from).expect("the page holds the beginning");
        rest.split_once(to).expect("the page holds the end").0
    }

    #[test]
    fn page_holds_plan_and_trace_as_they_were_given() {
        let page = page("failures/O4-1/plan.json", r#"{"seed":7}"#, TRACE);

        assert!(page.contains("<title>failures/O4-1/plan.json</title>"));
        assert_eq!(between(&page, r#"id="plan">"#, "</script>").trim(), r#"{"seed":7}"#);
        assert_eq!(between(&page, r#"id="trace">"#, "</script>").trim(), TRACE);
    }

    #[test]
    fn no_text_of_a_run_becomes_markup_or_a_slot() {
        let hostile = r#"{"n":1,"text":"</script><!--slot:style--><b>"}"#;
        let plain = page("t", "{}", "");
        let page = page("<b>&\"", hostile, hostile);

        assert!(page.contains("<title>&lt;b&gt;&amp;&quot;</title>"));
        let escaped = r#"{"n":1,"text":"\u003c/script>\u003c!--slot:style-->\u003cb>"}"#;
        assert_eq!(between(&page, r#"id="plan">"#, "</script>").trim(), escaped);
        assert_eq!(between(&page, r#"id="trace">"#, "</script>").trim(), escaped);
        assert_eq!(page.matches("</script>").count(), plain.matches("</script>").count());
    }

    #[test]
    fn page_needs_nothing_beside_it() {
        let page = page("t", "{}", TRACE);

        for reference in
            ["http:", "https:", "src=", "<link", "@import", "url(", "fetch(", "import "]
        {
            assert!(!page.contains(reference), "the page refers to something by {reference}");
        }
        assert!(!page.contains(SLOT), "every slot is filled");
    }

    #[test]
    fn no_part_of_the_page_ends_its_own_element() {
        assert!(!STYLE.contains("</"));
        for script in SCRIPTS {
            assert!(!script.contains("</script") && !script.contains("<!--"));
        }
    }
}
