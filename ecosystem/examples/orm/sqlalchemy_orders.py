"""SQLAlchemy: an order and its message in one transaction. pip install sqlalchemy psycopg"""
import os

from sqlalchemy import BigInteger, FetchedValue, Text, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "purchase"
    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str]


class Outbound(Base):
    """Columns that you leave out get their defaults; the trigger of wa checks the rest."""
    __tablename__ = "outbound"
    __table_args__ = {"schema": "wa"}
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, server_default=FetchedValue())
    session: Mapped[str]
    recipient: Mapped[str]
    body: Mapped[str]
    status: Mapped[str] = mapped_column(Text, server_default=FetchedValue())


engine = create_engine(os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg://"))
with Session(engine) as db, db.begin():
    order = Order(phone="+15550002")
    db.add(order)
    db.flush()
    db.add(Outbound(session="shop", recipient=order.phone, body=f"Order {order.id} is on its way"))
with Session(engine) as db, db.begin():
    # A function, with the arguments that have names.
    print(db.scalar(select(func.wa.send_text("shop", "+15550002", "Thank you"))))
    print(db.scalars(select(Outbound.body).order_by(Outbound.id)).all())
