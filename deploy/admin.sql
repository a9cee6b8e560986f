-- The admin of a deployment on PostgreSQL, with what `ringfence migrate` needs and no more, and the database that it owns.
--
--   ADMIN_DB_PASS_FILE=… psql --set admin=NAME --set database=NAME --file deploy/admin.sql     as a superuser
--
-- It may run any number of times; the password is set to what the file says.
\set ON_ERROR_STOP on
\set pass `cat "$ADMIN_DB_PASS_FILE"`
SELECT format('CREATE ROLE %I', :'admin')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'admin') \gexec
ALTER ROLE :"admin" LOGIN CREATEROLE NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS PASSWORD :'pass';
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'admin')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = :'database') \gexec
