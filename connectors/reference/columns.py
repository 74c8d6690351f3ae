"""Column types that the three reference schemas share. Money and hours are numeric, never floats."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import BigInteger, Date, DateTime, Numeric, Text
from sqlalchemy.orm import mapped_column

Key = Annotated[str, mapped_column(Text, primary_key=True)]
Number = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=False)]
Code = Annotated[str, mapped_column(Text)]
OptionalCode = Annotated[str | None, mapped_column(Text)]
Money = Annotated[Decimal, mapped_column(Numeric(18, 2))]
OptionalMoney = Annotated[Decimal | None, mapped_column(Numeric(18, 2))]
OptionalPercent = Annotated[Decimal | None, mapped_column(Numeric(6, 2))]
Price = Annotated[Decimal, mapped_column(Numeric(18, 4))]
Factor = Annotated[Decimal, mapped_column(Numeric(9, 4))]
OptionalFactor = Annotated[Decimal | None, mapped_column(Numeric(9, 4))]
FxRate = Annotated[Decimal, mapped_column(Numeric(18, 8))]
Hours = Annotated[Decimal, mapped_column(Numeric(9, 4))]
OptionalHours = Annotated[Decimal | None, mapped_column(Numeric(12, 4))]
Seconds = Annotated[int, mapped_column(BigInteger)]
OptionalSeconds = Annotated[int | None, mapped_column(BigInteger)]
Day = Annotated[date, mapped_column(Date)]
OptionalDay = Annotated[date | None, mapped_column(Date)]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
OptionalInstant = Annotated[datetime | None, mapped_column(DateTime(timezone=True))]
