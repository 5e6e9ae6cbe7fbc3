//! Everything that needs a real Kafka, a real disk or real processes: one binary, so that it is linked once.

mod abuse;
mod api;
mod command_line;
mod cursors;
mod dev;
mod e2e;
mod edge;
mod embedded_conformance;
mod examples;
mod kafka;
mod kafka_log;
mod log_client;
mod log_conformance;
mod readme;
mod real;
mod seen;
mod site;
mod starter;
mod store_conformance;
mod store_full;
mod store_kill;
mod tour;
mod weather;
