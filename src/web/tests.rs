mod client;
mod plain;
