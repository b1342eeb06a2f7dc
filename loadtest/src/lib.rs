//! Bots on the client core, scenarios and reports.
