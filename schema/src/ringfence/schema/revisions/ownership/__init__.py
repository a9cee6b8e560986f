"""Which objects of a database the migrations made."""
