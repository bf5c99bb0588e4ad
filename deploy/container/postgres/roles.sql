-- Who the service is, once, when the cluster is made: an ordinary role that owns nothing, with the
-- rights of florin_service and no others. Those come with the schema, which florin_owner creates and
-- owns; so nothing that the service is told to do can change an event.
\getenv password FLORIN_DATABASE_PASSWORD
CREATE ROLE florin_service NOLOGIN;
CREATE ROLE florin LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password'
  IN ROLE florin_service;
