//! What an operator sees of real nodes: metrics, alerts, the dashboard, the page for people, and `top`.

mod alerts;
mod metrics;
mod page;
mod promtool;
mod scrape;
mod top;

pub(crate) use scrape::page;
