//! What an operator sees of real nodes: metrics, traces, alerts, the dashboard, the page for people, and `top`.

mod alerts;
mod collector;
mod metrics;
mod page;
mod peers;
mod promtool;
mod scrape;
mod silence;
mod top;
mod traces;

pub(crate) use scrape::page;
