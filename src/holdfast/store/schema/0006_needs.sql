-- compatible
-- Of each step from here on: how many steps code must know to work behind it; 0: any code may. What was applied before
-- needs itself, which nobody asks any more.

ALTER TABLE migration ADD COLUMN needs INTEGER NOT NULL DEFAULT 0;
