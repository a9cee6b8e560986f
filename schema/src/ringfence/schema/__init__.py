"""The admin side: models, migrations, access control and mirrors of one deployment."""
