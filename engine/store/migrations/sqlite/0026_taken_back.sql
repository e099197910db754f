-- When we hung up a call that nobody had answered: from then on nobody is awaited from it, also if its end is told late.
ALTER TABLE attempts ADD COLUMN taken_back_at_ms INTEGER;
