//! A flow drawn: as Mermaid text, and as a plain SVG with a layout of its own (layers from the start downwards).

use super::flow::*;
use std::{collections::VecDeque, fmt::Write};

/// One line on what a node does.
fn summary(node: &Node) -> String {
    let clips = |prompt: &[super::document::Located<String>]| {
        let short = |path: &str| path.rsplit('/').next().unwrap_or(path).trim_end_matches(".wav").to_string();
        prompt.iter().map(|clip| short(&clip.value)).collect::<Vec<_>>().join(" + ")
    };
    match &node.kind {
        Kind::Gather(gather) => format!("gather {}", clips(&gather.prompt)),
        Kind::Play { prompt } => format!("play {}", clips(prompt)),
        Kind::Say(say) => format!("say {:?}", say.how).to_lowercase(),
        Kind::Queue(queue) => format!("queue {}", queue.name.value),
        Kind::ThreeWay { hotline } => format!("three_way {}", hotline.value),
        Kind::Hours { calendar } => format!("hours {calendar}"),
        Kind::Set(settings) => {
            format!("set {}", settings.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
        }
        Kind::If(condition) => format!("if {}", condition.variable),
        Kind::Goto => "goto".into(),
        Kind::Hangup { cause, .. } => format!("hangup {cause}"),
    }
}

/// Mermaid's `flowchart` of the flow.
pub fn mermaid(flow: &Flow) -> String {
    let quoted = |text: &str| text.replace('"', "#quot;").replace(['\n', '\r'], " ");
    let mut out = String::from("flowchart TD\n");
    let _ = writeln!(out, "  start(( )) --> n{}", flow.start.0);
    for (index, node) in flow.indexed() {
        let (open, close) = match node.kind {
            Kind::Gather(_) => ("{{", "}}"),
            Kind::Hours { .. } | Kind::If(_) => ("{", "}"),
            Kind::Queue(_) | Kind::ThreeWay { .. } => ("([", "])"),
            Kind::Hangup { .. } => ("((", "))"),
            Kind::Play { .. } | Kind::Say(_) | Kind::Set(_) | Kind::Goto => ("[", "]"),
        };
        let label = format!("{}<br/>{}", quoted(&node.name), quoted(&summary(node)));
        let _ = writeln!(out, "  n{}{open}\"{label}\"{close}", index.0);
    }
    for (index, node) in flow.indexed() {
        for (to, labels) in grouped(node) {
            match labels.is_empty() {
                true => writeln!(out, "  n{} --> n{}", index.0, to.0),
                false => writeln!(out, "  n{} -->|\"{}\"| n{}", index.0, quoted(&labels), to.0),
            }
            .ok();
        }
    }
    out
}

/// The ways out, with the labels that lead to the same node joined.
fn grouped(node: &Node) -> Vec<(NodeIndex, String)> {
    let mut ways: Vec<(NodeIndex, String)> = Vec::new();
    for (label, to) in node.edges() {
        match ways.iter_mut().find(|(known, _)| *known == to) {
            Some((_, labels)) if !labels.is_empty() && !label.is_empty() => {
                labels.push_str(", ");
                labels.push_str(label);
            }
            Some((_, labels)) => labels.push_str(label),
            None => ways.push((to, label.to_string())),
        }
    }
    ways
}

const BOX_WIDTH: i64 = 220;
const BOX_HEIGHT: i64 = 52;
const GAP_X: i64 = 40;
const GAP_Y: i64 = 70;
const MARGIN: i64 = 30;

/// An SVG of the flow: each node a box in the layer of its distance from the start, arrows with their labels.
pub fn svg(flow: &Flow) -> String {
    let layers = layers(flow);
    let widest = layers.iter().map(Vec::len).max().unwrap_or(1) as i64;
    let width = widest * (BOX_WIDTH + GAP_X) - GAP_X + 2 * MARGIN;
    let height = layers.len() as i64 * (BOX_HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN;
    let mut corners = vec![(0i64, 0i64); flow.nodes.len()];
    for (row, layer) in layers.iter().enumerate() {
        let row_width = layer.len() as i64 * (BOX_WIDTH + GAP_X) - GAP_X;
        for (column, index) in layer.iter().enumerate() {
            let x = (width - row_width) / 2 + column as i64 * (BOX_WIDTH + GAP_X);
            corners[index.0] = (x, MARGIN + row as i64 * (BOX_HEIGHT + GAP_Y));
        }
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>{}</title>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" \
         refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker>\
         </defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escape(&flow.name)
    );
    for (index, node) in flow.indexed() {
        for (to, labels) in grouped(node) {
            arrow(&mut out, corners[index.0], corners[to.0], &labels);
        }
    }
    for (index, node) in flow.indexed() {
        draw_node(&mut out, corners[index.0], node, index == flow.start);
    }
    out.push_str("</svg>\n");
    out
}

fn draw_node(out: &mut String, (x, y): (i64, i64), node: &Node, is_start: bool) {
    let (fill, round) = match node.kind {
        Kind::Gather(_) => ("#e8f0fe", 4),
        Kind::Queue(_) | Kind::ThreeWay { .. } => ("#e6f4ea", 24),
        Kind::Hours { .. } | Kind::If(_) => ("#fef7e0", 4),
        Kind::Hangup { .. } => ("#fce8e6", 24),
        Kind::Play { .. } | Kind::Say(_) | Kind::Set(_) | Kind::Goto => ("#f1f3f4", 4),
    };
    let line = if is_start { 3 } else { 1 };
    let (middle, name_y, what_y) = (x + BOX_WIDTH / 2, y + 21, y + 39);
    let name = escape(&node.name);
    let what: String = summary(node).chars().take(34).collect();
    let _ = writeln!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"{round}\" fill=\"{fill}\" \
         stroke=\"#333\" stroke-width=\"{line}\"/><text x=\"{middle}\" y=\"{name_y}\" text-anchor=\"middle\" \
         font-weight=\"bold\">{name}</text><text x=\"{middle}\" y=\"{what_y}\" text-anchor=\"middle\" font-size=\"11\">\
         {}</text>",
        escape(&what)
    );
}

fn arrow(out: &mut String, from: (i64, i64), to: (i64, i64), label: &str) {
    let (start_x, end_x) = (from.0 + BOX_WIDTH / 2, to.0 + BOX_WIDTH / 2);
    // Downwards from bottom to top; back or sideways in a bow around the right side.
    let (path, label_x, label_y) = if to.1 > from.1 {
        let (start_y, end_y) = (from.1 + BOX_HEIGHT, to.1);
        let half = (start_y + end_y) / 2;
        let path = format!("M{start_x} {start_y}C{start_x} {half} {end_x} {half} {end_x} {end_y}");
        (path, (start_x + 3 * end_x) / 4, end_y - 14)
    } else {
        let (start_x, start_y) = (from.0 + BOX_WIDTH, from.1 + BOX_HEIGHT / 2);
        let (end_x, end_y) = (to.0 + BOX_WIDTH, to.1 + BOX_HEIGHT / 3);
        let bow = start_x.max(end_x) + GAP_X;
        (format!("M{start_x} {start_y}C{bow} {start_y} {bow} {end_y} {end_x} {end_y}"), bow - 8, start_y)
    };
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#555\" marker-end=\"url(#tip)\"/><text x=\"{label_x}\" y=\"{label_y}\" \
         text-anchor=\"middle\" font-size=\"11\" fill=\"#1a4fa0\">{}</text>",
        escape(label)
    );
}

/// The nodes by distance from the start; what cannot be reached comes last.
fn layers(flow: &Flow) -> Vec<Vec<NodeIndex>> {
    let mut depth = vec![None; flow.nodes.len()];
    let mut open = VecDeque::from([flow.start]);
    depth[flow.start.0] = Some(0usize);
    while let Some(index) = open.pop_front() {
        let below = depth[index.0].unwrap_or(0) + 1;
        for (_, to) in flow.node(index).edges() {
            if depth[to.0].is_none() {
                depth[to.0] = Some(below);
                open.push_back(to);
            }
        }
    }
    let last = depth.iter().flatten().max().copied().unwrap_or(0) + 1;
    let mut layers = vec![Vec::new(); last + 1];
    for (index, _) in flow.indexed() {
        layers[depth[index.0].unwrap_or(last)].push(index);
    }
    layers.retain(|layer| !layer.is_empty());
    layers
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_drawings_hold_every_node_and_way() {
        let flow = Flow::parse(include_str!("../../ivr-flows/menu_main.toml"), "menu_main.toml").unwrap();
        let mermaid = mermaid(&flow);
        assert!(mermaid.starts_with("flowchart TD\n"));
        assert!(mermaid.contains("n1{{\"menu<br/>gather menu_main\"}}"), "{mermaid}");
        assert!(mermaid.contains("n1 -->|\"0, invalid, timeout\"| n7"), "{mermaid}");
        let svg = svg(&flow);
        assert_eq!(svg.matches("<rect x=").count(), flow.nodes.len());
        assert!(svg.contains(">queue general<") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn names_cannot_break_out() {
        let text = "version = 1\nstart = \"<b>\\\"\"\n[node.\"<b>\\\"\"]\nhangup = true\n";
        let flow = Flow::parse(text, "x.toml").unwrap();
        assert!(!svg(&flow).contains("<b>"));
        assert!(mermaid(&flow).contains("<b>#quot;"));
    }
}
